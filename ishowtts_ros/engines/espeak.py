"""espeak: speech within milliseconds, without a GPU or a download, through libespeak-ng in this process.

The C interface is documented in espeak-ng's `speak_lib.h`. The library keeps one global state,
so only one EspeakEngine can be loaded in a process at a time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
import os
from pathlib import Path
import threading
from typing import Sequence

import numpy as np

from ..core.engine import Canceled, Emit, Progress
from ..core.types import ErrorCode, SpeechError, SynthesisSettings
from ..core.voices import VoiceRegistry, unknown_voice

# From speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_PARAMETER_RATE = 1
_EE_OK = 0

_NATURAL_RATE = 175            # words per minute at speed 1, the library's own default
_RATES = (80, 450)             # words per minute that the library can do
_NAMES = {'zh': 'cmn', 'zh-hk': 'yue', 'no': 'nb'}     # BCP 47 tags that the library has other names for
_BUFFER = 100                  # ms of audio for each callback; synthesizing them takes well under 1 ms


@dataclass(frozen=True)
class EspeakConfig:
    """Load-time options."""

    library: str = ''      # path of libespeak-ng.so; '' = from espeakng-loader, else the system's
    data_path: str = ''    # path of espeak-ng-data; '' = the one that belongs to the library
    voice: str = 'en-us'   # what an empty voice name stands for


class _EspeakVoice(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('languages', ctypes.c_void_p), ('identifier', ctypes.c_char_p),
                ('gender', ctypes.c_ubyte), ('age', ctypes.c_ubyte), ('variant', ctypes.c_ubyte),
                ('xx1', ctypes.c_ubyte), ('score', ctypes.c_int), ('spare', ctypes.c_void_p)]


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class EspeakEngine:
    """Voices are named like `en-us`; `en-us+f3` adds one of the library's variants.

    :param config: load-time options
    :param voices: not used; espeak clones no voices
    """

    name = 'espeak'
    sample_rate = 0
    has_solver = False
    _loaded = threading.Lock()     # held by the one engine that owns the library's global state

    def __init__(self, config: EspeakConfig, voices: VoiceRegistry):
        self._config = config
        self._library: ctypes.CDLL | None = None
        self._identifiers: dict[str, str] = {}     # voice name -> the library's identifier
        self._variants: dict[str, str] = {}        # variant name -> likewise

    def load(self, progress: Progress) -> None:
        if not EspeakEngine._loaded.acquire(blocking=False):
            raise SpeechError(ErrorCode.LOAD_FAILED, 'espeak is already loaded in this process; close that engine first')
        try:
            progress(0.0, 'loading libespeak-ng')
            self._library, data_path = self._open()
            rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER, data_path, _INITIALIZE_DONT_EXIT)
            if rate <= 0:
                raise SpeechError(ErrorCode.LOAD_FAILED,
                                  f"libespeak-ng found no data in '{data_path.decode() if data_path else 'its own path'}'; "
                                  'set espeak.data_path to the folder espeak-ng-data')
            self.sample_rate = rate
            self._find_voices()
            self.check_voice(self._config.voice)
            progress(1.0, f'{len(self._identifiers)} voices')
        except BaseException:
            self._library = None
            EspeakEngine._loaded.release()
            raise

    def warmup(self, progress: Progress) -> None:
        self.synthesize('ready', SynthesisSettings(), lambda samples: None, lambda: False)
        progress(1.0, 'spoke a word')

    def voices(self) -> Sequence[str]:
        """The plain voices; `variants` may be added to each."""
        return sorted(self._identifiers)

    def variants(self) -> Sequence[str]:
        """What may follow the `+` in a voice name."""
        return sorted(self._variants)

    def voice_for(self, language: str) -> str:
        """The voice for a BCP 47 tag: its own, else that of its primary subtag, else the configured one."""
        tag = language.lower()
        tags = (tag, _NAMES.get(tag), tag.split('-')[0], _NAMES.get(tag.split('-')[0]))
        return next((name for name in tags if name in self._identifiers), self._config.voice)

    def check_voice(self, name: str) -> None:
        base, plus, variant = name.partition('+')
        if base not in self._identifiers:
            raise unknown_voice(name, self._identifiers)
        if plus and variant not in self._variants:
            raise unknown_voice(name, [f'{base}+{known}' for known in self._variants])

    def synthesize(self, text: str, settings: SynthesisSettings, emit: Emit, canceled: Canceled) -> None:
        library = self._library
        self._select(settings)
        failure: list[BaseException] = []

        def on_samples(wav, count, events) -> int:
            # Called by the library, in this thread; an exception cannot pass through C.
            try:
                if canceled():
                    return 1
                if wav and count > 0:
                    emit(np.ctypeslib.as_array(wav, (count,)).copy())
                return 0
            except BaseException as error:
                failure.append(error)
                return 1

        callback = _SynthCallback(on_samples)     # must live as long as the library may call it
        library.espeak_SetSynthCallback(callback)
        utf8 = text.encode()
        status = library.espeak_Synth(utf8, len(utf8) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        if failure:
            raise failure[0]
        if status != _EE_OK:
            raise SpeechError(ErrorCode.ENGINE_FAILED, f'libespeak-ng could not speak this text (status {status})')

    def close(self) -> None:
        if self._library is not None:
            self._library.espeak_Terminate()
            self._library = None
            EspeakEngine._loaded.release()

    def _open(self) -> tuple[ctypes.CDLL, bytes | None]:
        """The library and its data path (None = where the library itself looks)."""
        path, data_path = os.path.expanduser(self._config.library), os.path.expanduser(self._config.data_path)
        if not path:
            try:
                import espeakng_loader
                path = espeakng_loader.get_library_path()
                data_path = data_path or espeakng_loader.get_data_path()
            except (ImportError, OSError):
                path = ctypes.util.find_library('espeak-ng')
        if not path:
            raise SpeechError(ErrorCode.ENGINE_UNAVAILABLE,
                              'libespeak-ng is not installed: pip install espeakng-loader, or apt install espeak-ng')
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise SpeechError(ErrorCode.LOAD_FAILED, f'cannot load libespeak-ng: {error}; set espeak.library') from error
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_EspeakVoice))
        library.espeak_Info.argtypes = [ctypes.POINTER(ctypes.c_char_p)]
        library.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
                                         ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
        return library, os.fsencode(data_path) if data_path else None

    def _find_voices(self) -> None:
        found = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(found))
        data = Path(os.fsdecode(found.value))
        plain = self._list(None)
        # A voice without its dictionary speaks gibberish, and MBROLA voices need another program.
        self._identifiers = {identifier.rsplit('/', 1)[-1].lower(): identifier for identifier in plain
                             if not identifier.startswith('mb/') and _has_dictionary(data, identifier)}
        spec = _EspeakVoice(languages=ctypes.cast(ctypes.c_char_p(b'variant'), ctypes.c_void_p))
        variants = self._list(ctypes.byref(spec))
        self._variants = {identifier.rsplit('/', 1)[-1]: identifier for identifier in variants}

    def _list(self, spec) -> list[str]:
        listed, identifiers = self._library.espeak_ListVoices(spec), []
        for entry in listed:
            if not entry:
                return identifiers
            identifiers.append(entry.contents.identifier.decode())

    def _select(self, settings: SynthesisSettings) -> None:
        name = settings.voice or self.voice_for(settings.language)
        self.check_voice(name)
        base, plus, variant = name.partition('+')
        if self._library.espeak_SetVoiceByName(f'{self._identifiers[base]}{plus}{variant}'.encode()) != _EE_OK:
            raise SpeechError(ErrorCode.ENGINE_FAILED, f"libespeak-ng cannot load voice '{name}'; try another")
        rate = min(max(round(_NATURAL_RATE * settings.speed), _RATES[0]), _RATES[1])
        self._library.espeak_SetParameter(_PARAMETER_RATE, rate, 0)


def _has_dictionary(data: Path, identifier: str) -> bool:
    """Is the dictionary there that the voice file names, or else its language's?"""
    language = identifier.rsplit('/', 1)[-1].split('-')[0].lower()
    try:
        for line in (data / 'lang' / identifier).read_text(errors='replace').splitlines():
            words = line.split()
            if words[:1] == ['dictionary']:
                language = words[1]
    except (OSError, IndexError):
        pass
    return (data / f'{language}_dict').exists()
