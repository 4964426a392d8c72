# Source this in bash or zsh: it puts the shell into the built environment.
#     . scripts/env.sh
_ishowtts=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
. "$_ishowtts/.venv/bin/activate"
case "$(cat "$_ishowtts/.venv/kind")" in wheels-*)
    # PyPI's ROS: the virtual environment is the ament prefix. Telling the wheels that the library
    # path is set keeps them from starting every Python process twice.
    export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=$(sed 's/wheels-\([a-z]*\).*/\1/' "$_ishowtts/.venv/kind")
    case ":${AMENT_PREFIX_PATH:-}:" in *":$VIRTUAL_ENV:"*) ;; *)
        export AMENT_PREFIX_PATH=$VIRTUAL_ENV CMAKE_PREFIX_PATH=$VIRTUAL_ENV
        export LD_LIBRARY_PATH=$VIRTUAL_ENV/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ;;
    esac
    for _libs in "$VIRTUAL_ENV"/lib/python3*/site-packages/ros_*.libs; do
        [ -d "$_libs" ] && LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$_libs
    done
    export RMW_IMPLEMENTATION=${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp} _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 ;;
esac
if [ -f "$_ishowtts/install/local_setup.sh" ]; then
    COLCON_CURRENT_PREFIX=$_ishowtts/install
    . "$_ishowtts/install/local_setup.sh"
fi
unset _ishowtts _libs COLCON_CURRENT_PREFIX
