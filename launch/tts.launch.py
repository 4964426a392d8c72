"""The speech node and, with play:=true, the player.

ros2 launch ishowtts tts.launch.py engine:=espeak voice:=en-us+f3 play:=true
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = get_package_share_directory('ishowtts')

ARGUMENTS = (
    DeclareLaunchArgument('params_file', default_value=f'{SHARE}/config/tts.yaml', description='parameters of both nodes'),
    DeclareLaunchArgument('namespace', default_value='', description='namespace of both nodes'),
    DeclareLaunchArgument('engine', default_value='', description="overrides params_file; '' does not"),
    DeclareLaunchArgument('voice', default_value='', description="overrides params_file; '' does not"),
    DeclareLaunchArgument('nfe_step', default_value='', description="overrides params_file; '' does not"),
    DeclareLaunchArgument('play', default_value='true', description='also play the audio on this machine'),
    DeclareLaunchArgument('device', default_value='', description="sound device, name or index; '' is the default one"),
)


def given(context, *names):
    """The launch arguments that were given a value."""
    return {name: value for name in names if (value := LaunchConfiguration(name).perform(context))}


def nodes(context):
    speech = given(context, 'engine', 'voice', 'nfe_step')
    if speech.get('nfe_step', '').lstrip('-').isdigit():
        # Anything but a number is left for the node to refuse: it knows the valid range.
        speech['nfe_step'] = int(speech['nfe_step'])
    namespace = LaunchConfiguration('namespace')
    params_file = Path(LaunchConfiguration('params_file').perform(context)).expanduser()
    if not params_file.is_file():       # launch would warn, and start a robot with other settings than were meant
        raise FileNotFoundError(f"there is no params_file '{params_file}'")
    return [
        Node(package='ishowtts', executable='tts_node', name='ishowtts', output='screen',
             namespace=namespace, parameters=[str(params_file), speech]),
        Node(package='ishowtts', executable='player_node', name='ishowtts_player', output='screen',
             namespace=namespace, parameters=[str(params_file), given(context, 'device')],
             condition=IfCondition(LaunchConfiguration('play'))),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
