"""The services ~/add_voice and ~/remove_voice: the voices change while the robot speaks, all or nothing."""

from __future__ import annotations

from concurrent.futures import Future, TimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
import os
from pathlib import Path
import tempfile
import threading
from typing import Any, BinaryIO, Callable, Iterator

from ishowtts.srv import AddVoice, RemoveVoice
from rclpy.node import Node

from . import conversions, voices_file
from .core import audio
from .core.failover import Failover
from .core.new_voice import locate, NewVoice
from .core.synthesizer import Synthesizer
from .core.types import as_speech_error, ErrorCode, SpeechError
from .core.voices import unknown_voice, Voice, VoiceRegistry
from .executor import SlowCallbackGroup

EXECUTOR_TIMEOUT = 10.0     # s; it is never that busy, but it may have stopped


@dataclass(frozen=True)
class Voices:
    """The voices of a configured node, and who has to do with them."""

    engine: Failover
    synthesizer: Synthesizer
    registry: VoiceRegistry         # what the engine looks its voices up in
    file: str                       # voices_file, '' = none


class VoiceServices:
    """Adds and removes voices, one at a time, each call in a thread of its own.

    The engine prepares a voice in its own thread, while it rests. What decides whether a voice
    may go is looked at, and it is taken away, in the executor's thread: there requests and parameters
    arrive too, so that none comes in between.

    :param current_voice: asked in the executor's thread
    """

    def __init__(self, node: Node, folders: list[str], current_voice: Callable[[], str]):
        self._node = node
        self._folders = folders
        self._current_voice = current_voice
        self._changing = threading.Lock()       # held while voices change
        self._voices: Voices | None = None      # None while the node is not configured
        self._passing: tempfile.TemporaryDirectory | None = None    # samples of voices that are not persisted
        group = SlowCallbackGroup()
        node.create_service(AddVoice, '~/add_voice', self._on_add, callback_group=group)
        node.create_service(RemoveVoice, '~/remove_voice', self._on_remove, callback_group=group)

    def open(self, voices: Voices) -> None:
        """Serve a node that has been configured."""
        self._voices = voices

    def close(self) -> None:
        """Wait for the change at hand, which the closed synthesizer does not hold up, and refuse others."""
        with self._changing:
            self._voices, passing, self._passing = None, self._passing, None
        if passing:
            passing.cleanup()

    def _on_add(self, request: AddVoice.Request, response: AddVoice.Response) -> AddVoice.Response:
        return self._answer(response, lambda: self._add(conversions.new_voice(request)))

    def _on_remove(self, request: RemoveVoice.Request, response: RemoveVoice.Response) -> RemoveVoice.Response:
        return self._answer(response, lambda: self._remove(request.voice))

    def _answer(self, response, change: Callable[[], str]):
        try:
            with self._changing:
                response.message = change()
            response.success = True
            self._node.get_logger().info(response.message)
        except Exception as error:
            failure = as_speech_error(error, ErrorCode.ENGINE_FAILED)
            response.code, response.message = failure.code, str(failure)
            self._node.get_logger().warning(f'the voices stay as they are ({failure.code}): {failure}')
        return response

    # --- add

    def _add(self, asked: NewVoice) -> str:
        voices = self._cloning()
        asked.check()
        if asked.name in voices.engine.voices():
            raise SpeechError(ErrorCode.VOICE_EXISTS, f"there is a voice '{asked.name}' already; remove it first "
                              '(~/remove_voice), or use another name')
        if asked.persist:
            voices_file.check_new(voices.file, asked.name)
        with self._recording(asked, voices) as recording:
            voice = Voice(asked.name, recording, asked.spoken())
            voices.synthesizer.run_in_worker(lambda: voices.engine.prepare_voice(voice)).result()
            if asked.persist:
                voices_file.add(voices.file, voice)
            voices.registry.add(voice)
        kept = f', kept in {voices.file}' if asked.persist else ' until the node is cleaned up'
        return f"voice '{voice.name}' is ready{kept}"

    @contextmanager
    def _recording(self, asked: NewVoice, voices: Voices) -> Iterator[Path]:
        """The voice's recording: the file asked for, or one made of samples, which goes again if anything fails."""
        if asked.path:
            file = locate(asked.path, self._folders)
            if self._owns(file, voices):
                raise SpeechError(ErrorCode.PATH_NOT_ALLOWED,
                                  f"'{file}' belongs to another voice and goes with it; copy it to another folder")
            yield file
            return
        opened = self._new_file(asked, voices)
        file = Path(opened.name)
        try:
            self._write(opened, asked)
            yield file
        except BaseException:
            file.unlink()
            raise

    def _new_file(self, asked: NewVoice, voices: Voices) -> BinaryIO:
        """A file for the voice's recording. Nothing is overwritten: another node that shares voices_file may be writing it."""
        try:
            folder = self._folder(asked.persist, voices)
            folder.mkdir(exist_ok=True)
            for number in count(1):
                try:
                    return open(folder / f"{asked.name}{f'-{number}' if number > 1 else ''}.wav", 'xb')
                except FileExistsError:
                    pass
        except OSError as error:
            raise _not_kept(error) from error

    def _write(self, opened: BinaryIO, asked: NewVoice) -> None:
        try:
            with opened:
                audio.write_wav_into(opened, asked.samples, asked.sample_rate, asked.channels)
                opened.flush()
                os.fsync(opened.fileno())   # before voices_file names it
        except OSError as error:
            raise _not_kept(error) from error

    def _folder(self, persist: bool, voices: Voices) -> Path:
        """Where recordings lie that came as samples. Each comes and goes with its voice."""
        if persist:
            return voices_file.recordings_folder(voices.file)
        self._passing = self._passing or tempfile.TemporaryDirectory(prefix='ishowtts_voices_')
        return Path(self._passing.name).resolve()

    def _owns(self, recording: Path, voices: Voices) -> bool:
        """Does this file lie where only recordings lie that came as samples?"""
        kinds = [persist for persist, there in ((False, self._passing), (True, voices.file)) if there]
        return recording.resolve().parent in [self._folder(persist, voices) for persist in kinds]

    # --- remove

    def _remove(self, name: str) -> str:
        voices = self._cloning()
        before = list(voices.registry)
        self._in_executor(lambda: self._take_away(name, voices))
        try:
            voices_file.remove(voices.file, name)
        except BaseException:
            voices.registry.restore(before)
            raise
        recording = next(voice.audio for voice in before if voice.name == name)
        shared = recording.resolve() in [voice.audio.resolve() for voice in voices.registry]
        if self._owns(recording, voices) and not shared:
            try:
                recording.unlink(missing_ok=True)
            except OSError as error:
                return f"voice '{name}' is removed; its recording stays: {error}"
        return f"voice '{name}' is removed"

    def _take_away(self, name: str, voices: Voices) -> None:
        if name not in voices.registry:
            if name in voices.engine.voices():
                raise SpeechError(ErrorCode.NOT_SUPPORTED, f"voice '{name}' comes with the engine and cannot be removed")
            raise unknown_voice(name, voices.engine.voices())
        if name == self._current_voice():
            raise SpeechError(ErrorCode.VOICE_IN_USE, f"voice '{name}' is the current voice; set another one first "
                              '(parameter voice, or ~/set_voice)')
        if using := voices.synthesizer.utterances_of(name):
            raise SpeechError(ErrorCode.VOICE_IN_USE, f"voice '{name}' is in use by utterance {', '.join(using[:5])}"
                              f"{f' and {len(using) - 5} more' * (len(using) > 5)}; wait for the end, or cancel")
        voices.registry.remove(name)

    def _in_executor(self, change: Callable[[], Any]) -> None:
        """Run something in the executor's thread and wait for it. :raises Exception: what it raises"""
        done: Future = Future()

        def run() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(change())
                except Exception as error:
                    done.set_exception(error)
        self._node.executor.create_task(run)
        try:
            done.result(EXECUTOR_TIMEOUT)
        except TimeoutError:
            if done.cancel():
                raise SpeechError(ErrorCode.NOT_ACTIVE, 'the node is shutting down') from None
            done.result()

    def _cloning(self) -> Voices:
        """:raises SpeechError: NOT_ACTIVE, NOT_SUPPORTED, ENGINE_UNAVAILABLE"""
        if self._voices is None:
            raise SpeechError(ErrorCode.NOT_ACTIVE, 'no engine is loaded; configure the node first '
                                                    '(ros2 lifecycle set <node> configure)')
        self._voices.engine.check_cloning()
        return self._voices


def _not_kept(error: OSError) -> SpeechError:
    return SpeechError(ErrorCode.NOT_SAVED, f'cannot keep the recording: {error}; put that right, or use another name')
