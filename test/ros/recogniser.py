"""Which of some sentences was spoken? pocketsphinx with a grammar that holds these and nothing else."""

from __future__ import annotations

import re

import numpy as np
from pocketsphinx import Decoder

MODEL_RATE = 16000     # Hz, what its English model was trained on
NOISE_FLOOR = 50       # LSB RMS, that of a quiet microphone: digital silence has no spectrum, and the decoder gets lost in it


class SentenceRecogniser:
    """:param sentences: what may have been said; made of words of the English dictionary"""

    def __init__(self, sentences):
        rules = ' | '.join(words(sentence) for sentence in sentences)
        self._decoder = Decoder(samprate=MODEL_RATE, lm=None, loglevel='FATAL')
        self._decoder.add_jsgf_string('sentences', f'#JSGF V1.0; grammar sentences; public <sentence> = {rules};')
        self._decoder.activate_search('sentences')

    def recognise(self, samples: np.ndarray, sample_rate: int) -> str:
        """The words heard, lower case; '' for none. `samples` int16 [n_samples] at `sample_rate` Hz."""
        noise = np.random.default_rng(0).normal(0, NOISE_FLOOR, len(samples))
        samples = np.clip(samples + noise, -32768, 32767).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(resample(samples, sample_rate, MODEL_RATE).tobytes(), full_utt=True)
        self._decoder.end_utt()
        return self._decoder.hyp().hypstr if self._decoder.hyp() else ''


def words(sentence: str) -> str:
    """The sentence as the grammar writes it: lower-case words without punctuation."""
    return re.sub(r"[^a-z' ]", '', sentence.lower())


def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """int16 [n] at `source` Hz to `target` Hz, by zeroing what the target cannot hold in the spectrum."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    length = round(len(samples) * target / source)
    kept = np.zeros(length // 2 + 1, complex)
    count = min(len(kept), len(spectrum))
    kept[:count] = spectrum[:count]
    return np.clip(np.fft.irfft(kept, length) * target / source, -32768, 32767).astype('<i2')
