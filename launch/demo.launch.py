"""Says one text through the speech node and the player, then ends.

ros2 launch ishowtts demo.launch.py text:="Hello, world." play:=false
"""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = get_package_share_directory('ishowtts')


def generate_launch_description():
    speech = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(f'{SHARE}/launch/tts.launch.py'),
        launch_arguments={name: LaunchConfiguration(name) for name in ('engine', 'voice', 'play')}.items())
    sayer = Node(package='ishowtts', executable='say_once', output='screen', arguments=[LaunchConfiguration('text')])
    return LaunchDescription([
        DeclareLaunchArgument('text', default_value='Hello! I am the voice of your robot.',
                              description='what to say'),
        DeclareLaunchArgument('engine', default_value='espeak', description='espeak, f5 or f5_upstream'),
        DeclareLaunchArgument('voice', default_value='', description="'' is the engine's default voice"),
        DeclareLaunchArgument('play', default_value='true', description='also play the audio on this machine'),
        speech,
        sayer,
        RegisterEventHandler(OnProcessExit(target_action=sayer, on_exit=[EmitEvent(event=Shutdown(reason='said it'))])),
    ])
