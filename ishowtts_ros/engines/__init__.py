"""The engines, one room each. `registry` imports one only when it is asked for."""
