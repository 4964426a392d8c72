"""voices.yaml: read, and changed one entry at a time. The user's comments and other entries stay as they are."""

from __future__ import annotations

from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import tempfile
import time
from typing import Iterator

import yaml

from .core.types import ErrorCode, SpeechError
from .core.voices import Voice, VoiceRegistry

RECORDINGS = 'added_voices'     # folder beside the file; what lies there comes and goes with its voice
LOCK_TIMEOUT = 10.0             # s to wait for others who change the file; a change takes milliseconds
LOCK_POLL = 0.005               # s


def load(path: str) -> VoiceRegistry:
    """The voices of a file with a `voices:` mapping; none for an empty path.

    :raises SpeechError: INVALID_PARAMETER when it cannot be read, saying where and why
    """
    if not path:
        return VoiceRegistry()
    file = Path(path).expanduser()
    return VoiceRegistry.from_mapping(_entries(_read(file), file), file.parent)


def recordings_folder(path: str) -> Path:
    """Where the recordings of persisted voices are kept that came as samples."""
    return Path(path).expanduser().parent.resolve() / RECORDINGS


def check_writable(path: str) -> None:
    """:raises SpeechError: NOT_SAVED when there is no voices file, or it is not to be written"""
    if not path:
        raise SpeechError(ErrorCode.NOT_SAVED, 'there is no file to keep voices in; set the parameter voices_file, '
                          'or add the voice without persist')
    file = Path(path).expanduser().resolve()
    try:
        # The superuser may write everything; a file that is marked read-only is left alone all the same.
        writable = file.stat().st_mode & 0o222 and os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    except OSError as error:
        raise _not_saved(file, error) from error
    if not writable:
        raise SpeechError(ErrorCode.NOT_SAVED, f"voices_file '{file}' or its folder is not writable; "
                          'allow writing, or go without persist')


def check_new(path: str, name: str) -> None:
    """Could a voice of this name be added? Another node that shares the file may have added one.

    :raises SpeechError: NOT_SAVED, VOICE_EXISTS, or INVALID_PARAMETER when the file has become unreadable
    """
    check_writable(path)
    file = Path(path).expanduser()
    _check_new(name, _entries(_read(file), file), file)


def add(path: str, voice: Voice) -> None:
    """Append a voice. All or nothing: the file is replaced by one that was read back first.

    :raises SpeechError: as `check_new`; NOT_SAVED also when others go on changing the file
    """
    check_writable(path)
    file = Path(path).expanduser()
    folder, audio = file.parent.resolve(), voice.audio
    entry = {'audio': str(audio.relative_to(folder) if folder in audio.parents else audio), 'transcript': voice.transcript}
    if voice.language:
        entry['language'] = voice.language
    with _alone(file):
        text = _read(file)
        entries = _entries(text, file)
        _check_new(voice.name, entries, file)
        _replace(file, _with_entry(text, voice.name, entry), {**entries, voice.name: entry})


def remove(path: str, name: str) -> None:
    """Take a voice out, if it is there; all or nothing.

    :raises SpeechError: NOT_SAVED, or INVALID_PARAMETER when the file has become unreadable
    """
    if not path:
        return
    file = Path(path).expanduser()
    with _alone(file):
        text = _read(file)
        entries = _entries(text, file)
        names = list(map(str, entries))
        if name in names:
            check_writable(path)
            wanted = {key: entry for key, entry in entries.items() if str(key) != name}
            _replace(file, _without_entry(text, names.index(name), len(names)), wanted)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keep others from changing the file from its reading to its replacing: threads, and processes of this machine.

    The folder is locked (flock), as the file is another one after each change. So no lock file stays behind, a folder
    that is only to be read can be locked too, and the kernel lets go for a process that dies. Over a network file system
    this holds within one machine: Linux asks no server for the lock of a folder.

    :raises SpeechError: NOT_SAVED, after LOCK_TIMEOUT
    """
    folder = file.resolve().parent      # of a link, where it leads to
    deadline = time.monotonic() + LOCK_TIMEOUT
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _not_saved(file, error) from error
    try:
        while not _try_lock(lock, file):
            if time.monotonic() > deadline:
                raise SpeechError(ErrorCode.NOT_SAVED, f"another process has kept voices_file '{file}' locked for "
                                  f"{LOCK_TIMEOUT:g} s; find out which one holds '{folder}' (lslocks), end it, and ask again")
            time.sleep(LOCK_POLL)
        yield
    finally:
        os.close(lock)      # and so unlocked


def _try_lock(lock: int, file: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _not_saved(file, error) from error
    return True


def _read(file: Path) -> str:
    try:
        with open(file, encoding='utf-8', newline='') as opened:    # line ends stay as they are
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f"cannot read voices_file '{file}': {error}") from error


def _entries(text: str, file: Path) -> dict:
    """The mapping `voices:`, name -> entry."""
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise SpeechError(ErrorCode.INVALID_PARAMETER, f"cannot read voices_file '{file}': {error}") from error
    entries = content.get('voices') if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise SpeechError(ErrorCode.INVALID_PARAMETER,
                          f"voices_file '{file}' needs a mapping 'voices:' of names; config/voices.yaml is an example")
    return entries


def _check_new(name: str, entries: dict, file: Path) -> None:
    if name in map(str, entries):
        raise SpeechError(ErrorCode.VOICE_EXISTS, f"voices_file '{file}' has a voice '{name}' already; use another name, "
                          'or configure the node again to speak with that one')


def _replace(file: Path, text: str | None, wanted: dict) -> None:
    """Write a file that holds `wanted`, and put it in the place of the old one in a single step."""
    try:
        right = text is not None and list(_entries(text, file).items()) == list(wanted.items())
    except SpeechError:
        right = False
    if not right:
        raise SpeechError(ErrorCode.NOT_SAVED, f"voices_file '{file}' is laid out in a way that this program cannot change "
                          'without harm; change it by hand, or lay it out like config/voices.yaml')
    file = file.resolve()      # of a link, what it leads to is replaced
    try:
        with tempfile.NamedTemporaryFile('w', encoding='utf-8', newline='', dir=file.parent, prefix=f'.{file.name}.',
                                         delete=False) as temporary:
            try:
                temporary.write(text)
                temporary.flush()
                os.fchmod(temporary.fileno(), file.stat().st_mode & 0o7777)
                os.fsync(temporary.fileno())
                os.replace(temporary.name, file)
            except BaseException:
                os.unlink(temporary.name)
                raise
    except OSError as error:
        raise _not_saved(file, error) from error


def _not_saved(file: Path, error: OSError) -> SpeechError:
    return SpeechError(ErrorCode.NOT_SAVED, f"cannot write voices_file '{file}': {error}; put that right, "
                       'or go without persist')


# --- changes to the text. They need not fit every layout: whoever makes one reads it back before it is kept.


def _with_entry(text: str, name: str, entry: dict) -> str | None:
    found = _voices_node(text)
    if found is None:
        return None
    key, mapping, in_flow = found
    if mapping.flow_style and (mapping.value or in_flow):
        start = mapping.value[-1][1].end_mark.index if mapping.value else mapping.start_mark.index + 1
        return text[:start] + ', ' * bool(mapping.value) + _dump({name: entry}, flow=True)[1:-1] + text[start:]
    if mapping.value:
        end = _end(text, mapping.value[-1][1])
        start = '' if text[:end].endswith('\n') else '\n'
        return text[:end] + start + _dump({name: entry}, mapping.value[0][0].start_mark.column) + '\n' + text[end:]
    start, end = mapping.start_mark.index, mapping.end_mark.index       # {}
    return text[:start].rstrip(' ') + '\n' + _dump({name: entry}, key.start_mark.column + 2) + text[end:]


def _without_entry(text: str, index: int, count: int) -> str | None:
    found = _voices_node(text)
    if found is None or len(found[1].value) != count:       # a name twice, or merged from elsewhere
        return None
    key, mapping, _ = found
    name, entry = mapping.value[index]
    if mapping.flow_style:
        if index:       # with the comma before it, else with the one behind it
            return text[:mapping.value[index - 1][1].end_mark.index] + text[entry.end_mark.index:]
        return text[:name.start_mark.index] + text[entry.end_mark.index:].lstrip().removeprefix(',')
    start, end = text.rfind('\n', 0, name.start_mark.index) + 1, _end(text, entry)
    rest = text[:start] + text[end:]
    if count > 1:
        return rest
    colon = text.index(':', key.end_mark.index) + 1
    return rest[:colon] + ' {}' + rest[colon:]              # `voices:` alone would be no mapping


def _voices_node(text: str) -> tuple[yaml.Node, yaml.MappingNode, bool] | None:
    """The key `voices`, its mapping, and whether they stand in braces themselves."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return next(((key, value, root.flow_style) for key, value in root.value if key.value == 'voices'), None)


def _end(text: str, node: yaml.Node) -> int:
    """Where the line after an entry's last one begins."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    end = node.end_mark.index
    if not text[:end].endswith('\n'):       # the end of a block of text is behind its line
        end = text.find('\n', end) + 1 or len(text)
    return end


def _dump(entry: dict, column: int = 0, flow: bool = False) -> str:
    dumped = yaml.safe_dump(entry, default_flow_style=flow, allow_unicode=True, sort_keys=False, width=float('inf'))
    return '\n'.join(' ' * column + line for line in dumped.strip().split('\n'))
