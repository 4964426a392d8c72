"""Speaking for days does not fill the memory: what comes after 1,000 utterances leaves nothing behind."""

import json
import os
from pathlib import Path
import subprocess
import sys

BLOCKS = 250     # of Python memory over 500 utterances: a leak of one block in two utterances would show
RESIDENT = 32 * 2**20     # bytes, of which the allocator may keep some


def test_nothing_grows_after_1000_utterances():
    """In a fresh process, where no other test's caches are filled or emptied meanwhile."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run([sys.executable, str(here / 'many_utterances.py')], capture_output=True, text=True,
                            timeout=280, env={**os.environ, 'PYTHONPATH': path})
    assert result.returncode == 0, result.stderr[-2000:]
    grown = json.loads(result.stdout.splitlines()[-1])
    print(grown)
    assert grown['tensors'] <= 0
    assert grown['blocks'] < BLOCKS
    assert grown['resident'] < RESIDENT
