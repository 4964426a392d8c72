"""The far end of an ALSA `file` device: takes samples at the pace of a sound card and writes them down.

usage: alsa_recorder.py FOLDER RATExCHANNELS...

ALSA's `null` takes audio a thousand times faster than it sounds, and `file` on top of it keeps that pace.
So `file` writes into a named pipe, FOLDER/RATExCHANNELS.fifo. The pipe holds one page, and this program empties
it in real time into FOLDER/RATExCHANNELS.raw. What plays is thus asked for 4096 bytes at once, every 85 ms
for 24 kHz mono: coarser than most sound cards. While this program is not running, writing to the pipe fails,
as it does for a sound card that was unplugged.
"""

from fcntl import fcntl
import os
import sys
import threading
import time

F_SETPIPE_SZ = 1031    # named in the fcntl module since Python 3.10
PAGE = 4096            # bytes
STEP = 0.005           # s of audio to take at a time


def record(folder, rate, channels):
    path = os.path.join(folder, f'{rate}x{channels}')
    pipe = os.open(f'{path}.fifo', os.O_RDWR)    # open for writing too: no end of file when the player closes it
    fcntl(pipe, F_SETPIPE_SZ, PAGE)
    byte_rate = rate * channels * 2
    due = 0.0
    with open(f'{path}.raw', 'ab', buffering=0) as recording:
        print('ready', flush=True)
        while True:
            samples = os.read(pipe, int(rate * STEP) * channels * 2)
            recording.write(samples)
            due = max(due, time.monotonic()) + len(samples) / byte_rate
            time.sleep(max(due - time.monotonic(), 0))


folder, formats = sys.argv[1], sys.argv[2:]
for name in formats:
    if not os.path.exists(os.path.join(folder, f'{name}.fifo')):
        os.mkfifo(os.path.join(folder, f'{name}.fifo'))
    threading.Thread(target=record, args=(folder, *map(int, name.split('x'))), daemon=True).start()
sys.stdin.read()    # until whoever started this ends
