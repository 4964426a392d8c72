"""Core types <-> ROS messages: here and nowhere else."""

from __future__ import annotations

from array import array
from dataclasses import fields
import time
import uuid

from builtin_interfaces.msg import Time
from ishowtts.msg import AudioChunk, SpeechRequest, SynthesisStats, UtteranceEvent
from ishowtts.srv import AddVoice
import numpy as np
from std_msgs.msg import Header, String

from .core import types
from .core.new_voice import NewVoice
from .core.types import ErrorCode, Policy, SpeechError


def utterance_from_text(message: String) -> types.Utterance:
    return types.Utterance(id=new_id(), text=message.data, received=time.monotonic())


def utterance_from_request(message: SpeechRequest) -> types.Utterance:
    """:raises SpeechError: INVALID_PARAMETER for a policy that does not exist"""
    try:
        policy = Policy(message.policy)
    except ValueError:
        raise SpeechError(ErrorCode.INVALID_PARAMETER,
                          f'policy {message.policy} is unknown; use 0 (QUEUE) or 1 (INTERRUPT)') from None
    return types.Utterance(
        id=message.id or new_id(), text=message.text, voice=message.voice, language=message.language,
        nfe_step=message.nfe_step, speed=message.speed, priority=message.priority or types.PRIORITY_DEFAULT,
        policy=policy, received=time.monotonic())


def chunk_to_message(chunk: types.AudioChunk, header: Header) -> AudioChunk:
    samples = array('h')     # the one type that a message takes without looking at every sample
    samples.frombytes(chunk.samples.astype(np.int16, copy=False).tobytes())
    return AudioChunk(header=header, utterance_id=chunk.utterance_id, sequence=chunk.sequence, last=bool(chunk.last),
                      sample_rate=chunk.sample_rate, channels=1, samples=samples)


def chunk_from_message(message: AudioChunk) -> types.AudioChunk:
    return types.AudioChunk(message.utterance_id, message.sequence, message.last, message.sample_rate,
                            np.array(message.samples, np.int16))


def new_voice(request: AddVoice.Request) -> NewVoice:
    return NewVoice(name=request.voice, transcript=request.transcript, path=request.audio_path,
                    samples=np.array(request.audio.samples, np.int16), sample_rate=request.audio.sample_rate,
                    channels=request.audio.channels, persist=request.persist)


def event_to_message(event: types.UtteranceEvent, header: Header) -> UtteranceEvent:
    return UtteranceEvent(header=header, utterance_id=event.utterance_id, state=int(event.state),
                          code=event.code, reason=event.reason, text=event.text)


def stats_to_message(stats: types.UtteranceStats, header: Header) -> SynthesisStats:
    values = {field.name: getattr(stats, field.name) for field in fields(stats)}
    return SynthesisStats(header=header, real_time_factor=stats.real_time_factor, **values)


def header(stamp: Time, frame_id: str) -> Header:
    return Header(stamp=stamp, frame_id=frame_id)


def new_id() -> str:
    return uuid.uuid4().hex[:12]
