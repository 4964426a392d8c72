"""The lifecycle node: wiring and transitions. What happens to an utterance is core/synthesizer.py's."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from ishowtts.msg import AudioChunk, SpeechRequest, SynthesisStats, UtteranceEvent
from ishowtts.srv import ListVoices, SetVoice
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Bool, Header, String
from std_srvs.srv import Trigger

from . import conversions, diagnostics, parameters, voices_file
from .core import types
from .core.failover import Failover
from .core.metrics import Metrics
from .core.synthesizer import Synthesizer, check_range
from .core.types import as_speech_error, ErrorCode, NFE_STEP_RANGE, SpeechError, UtteranceState
from .core.voices import VoiceRegistry
from .engines import registry
from .executor import run, SlowCallbackGroup
from .say_action import SayAction
from .voice_services import Voices, VoiceServices

REQUESTS_QOS = QoSProfile(depth=1000)     # reliable; as many requests may arrive while the executor is busy
AUDIO_QOS = QoSProfile(depth=1000)        # a burst of chunks may wait for a slow subscriber
EVENTS_QOS = QoSProfile(depth=1000)
EXPIRY_PERIOD = 0.2                       # s between looks for utterances that have waited for too long
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class TtsNode(LifecycleNodeMixin, Node):
    """Node `ishowtts`. README.md has the table of its topics and services.

    Transitions run in threads of their own (SlowCallbackGroup), so that topics, services and
    diagnostics are served while an engine loads.
    """

    def __init__(self):
        Node.__init__(self, 'ishowtts')
        LifecycleNodeMixin.__init__(self, callback_group=SlowCallbackGroup())
        self._engine: Failover | None = None             # loaded, or None
        self._synthesizer: Synthesizer | None = None
        self._metrics = Metrics()
        self._progress, self._doing, self._error = 0.0, '', ''
        self._way_back = 'configure and activate it first (ros2 lifecycle set <node> configure)'
        self._namesakes = 0
        self._start_problems = parameters.declare(self)
        self.add_on_set_parameters_callback(
            lambda changes: parameters.refuse(changes, self._engine, configured=self._synthesizer is not None))
        self._frame_id = self.get_parameter('frame_id').value
        self._make_publishers()
        self.on_speaking(False)
        self._make_subscriptions()
        self._make_services()
        self._say = SayAction(
            self, lambda request: self._submit(conversions.utterance_from_request, request), self._cancel, self._header)
        self._voice_services = VoiceServices(self, parameters.value(self, 'voice_folders'), self._current_voice)
        steady = Clock(clock_type=ClockType.STEADY_TIME)    # with use_sim_time, nobody may ever publish /clock
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        self.create_timer(EXPIRY_PERIOD, self._expire, clock=steady)
        if self.get_parameter('autostart').value:
            self._autostart_timer = self.create_timer(0.0, self._autostart, SlowCallbackGroup(), steady)
        if unknown := parameters.unknown(self):
            self.get_logger().warning(f'there are no such parameters, they are ignored: {unknown}')

    # --- wiring

    def _make_publishers(self) -> None:
        override = {'qos_overriding_options': QoSOverridingOptions.with_default_policies()}
        self._audio_publisher = self.create_publisher(AudioChunk, 'audio', AUDIO_QOS, **override)
        self._events_publisher = self.create_publisher(UtteranceEvent, 'utterance_events', EVENTS_QOS, **override)
        self._stats_publisher = self.create_publisher(SynthesisStats, 'synthesis_stats', EVENTS_QOS, **override)
        self._speaking_publisher = self.create_publisher(Bool, 'speaking', LATCHED_QOS, **override)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def _make_subscriptions(self) -> None:
        options = {'qos_overriding_options': QoSOverridingOptions.with_default_policies()}
        self.create_subscription(
            String, 'text', lambda message: self._submit(conversions.utterance_from_text, message), REQUESTS_QOS, **options)
        self.create_subscription(
            SpeechRequest, 'speech', lambda message: self._submit(conversions.utterance_from_request, message),
            REQUESTS_QOS, **options)

    def _make_services(self) -> None:
        self.create_service(SetVoice, '~/set_voice', self._set_voice)
        self.create_service(ListVoices, '~/list_voices', self._list_voices)
        self.create_service(Trigger, '~/stop', self._stop)
        self.create_service(Trigger, '~/pause', self._pause)
        self.create_service(Trigger, '~/resume', self._resume)

    # --- lifecycle

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the engine. FAILURE (back to unconfigured) says why in the log and in /diagnostics."""
        try:
            if self._start_problems:
                problems, self._start_problems = '; '.join(self._start_problems), []
                raise SpeechError(ErrorCode.INVALID_PARAMETER, f'{problems} (now at the default; set it and configure again)')
            self._error = ''
            name = self.get_parameter('engine').value
            self.get_logger().info(f'loading engine {name}')
            file = self.get_parameter('voices_file').value
            voices = voices_file.load(file)
            engine = self._make_engine(name, voices)
            self._synthesizer = Synthesizer(
                engine, lambda: parameters.synthesis_settings(self), listener=self, limits=parameters.limits(self),
                rules=lambda: parameters.admission_rules(self), pacing=lambda: parameters.pacing(self))
            self._synthesizer.start(self._report_progress).result()
            parameters.check_voice_now(self, engine)
            self._engine = engine
            self._voice_services.open(Voices(engine, self._synthesizer, voices, file))
        except Exception as error:
            self._error = str(as_speech_error(error, ErrorCode.LOAD_FAILED))
            self.get_logger().error(f'not configured: {self._error}')
            self._release()
            return FAILURE
        if not engine.problem:
            self.get_logger().info(f'engine {name} is ready: voice {self._current_voice()}')
        return super().on_configure(state)

    def _make_engine(self, name: str, voices: VoiceRegistry) -> Failover:
        fallback = self.get_parameter('fallback_engine').value

        def make(engine: str):
            return lambda: registry.create(engine, parameters.engine_options(self, engine), voices)
        return Failover(make(name), make(fallback) if fallback not in ('', name) else None, voices)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Accept requests from now on."""
        self._synthesizer.accept(True)
        self.get_logger().info(f"listening on '{self.resolve_topic_name('text')}'")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Refuse requests from now on, and cancel what is under way."""
        self._synthesizer.accept(False)
        self._synthesizer.stop(ErrorCode.NOT_ACTIVE, 'the node has been deactivated')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine; the node can only be destroyed after this."""
        self._release()
        self._way_back = 'it has been shut down; end its process and start it again'
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine and be unconfigured again."""
        self._release()
        return SUCCESS

    def close(self) -> None:
        """Free everything before the process ends."""
        self._release()

    def _release(self) -> None:
        synthesizer, self._synthesizer, self._engine = self._synthesizer, None, None
        self._progress, self._doing = 0.0, ''
        if synthesizer:
            synthesizer.close()
        self._voice_services.close()

    def _report_progress(self, done: float, doing: str) -> None:
        if doing != self._doing:
            self.get_logger().info(f'{done:4.0%} {doing}')
        self._progress, self._doing = done, doing

    # --- requests

    def _submit(self, to_utterance, message) -> bool:
        """Take a request, or tell why not by an event."""
        utterance_id, text = getattr(message, 'id', ''), getattr(message, 'text', None) or getattr(message, 'data', '')
        try:
            utterance = to_utterance(message)
            utterance_id = utterance.id
            synthesizer = self._synthesizer     # a transition, in another thread, may take it away meanwhile
            if synthesizer is None:
                raise SpeechError(ErrorCode.NOT_ACTIVE, 'the node is not active; ' + (
                    self._error or self._way_back))
            synthesizer.submit(utterance)
            return True
        except SpeechError as error:
            self.on_event(types.UtteranceEvent(utterance_id, UtteranceState.REJECTED, error.code, str(error), text[:200]))
            return False

    def _cancel(self, utterance_id: str, code: str, reason: str) -> bool:
        synthesizer = self._synthesizer
        return synthesizer is not None and synthesizer.cancel(utterance_id, code, reason)

    def _set_voice(self, request: SetVoice.Request, response: SetVoice.Response) -> SetVoice.Response:
        wanted = [Parameter(name, value=value) for name, value in
                  (('voice', request.voice), ('nfe_step', request.nfe_step)) if value]
        try:
            engine = self._engine
            if engine is None:
                raise SpeechError(ErrorCode.NOT_ACTIVE, 'no engine is loaded; configure the node first')
            if request.voice:
                engine.check_voice(request.voice)
            check_range('nfe_step', request.nfe_step, NFE_STEP_RANGE)
            result = self.set_parameters_atomically(wanted)
            if not result.successful:
                raise SpeechError(ErrorCode.INVALID_PARAMETER, result.reason)
            response.success = True
        except SpeechError as error:
            response.code, response.message = error.code, str(error)
        response.voice, response.nfe_step = self._current_voice(), self.get_parameter('nfe_step').value
        response.message = response.message or f'voice {response.voice}, nfe_step {response.nfe_step}'
        return response

    def _list_voices(self, request: ListVoices.Request, response: ListVoices.Response) -> ListVoices.Response:
        engine = self._engine
        response.voices = list(engine.voices()) if engine else []
        response.current_voice, response.current_nfe_step = self._current_voice(), self.get_parameter('nfe_step').value
        return response

    def _stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        synthesizer = self._synthesizer
        stopped = synthesizer.stop() if synthesizer else 0
        response.success, response.message = True, f'{stopped} canceled'
        return response

    def _pause(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._if_configured(response, lambda synthesizer: synthesizer.pause(), 'paused; resume with ~/resume')

    def _resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._if_configured(response, lambda synthesizer: synthesizer.resume(), 'resumed')

    def _if_configured(self, response: Trigger.Response, do, done: str) -> Trigger.Response:
        synthesizer = self._synthesizer
        if synthesizer:
            do(synthesizer)
        response.success, response.message = bool(synthesizer), done if synthesizer else 'no engine is loaded'
        return response

    def _expire(self) -> None:
        if synthesizer := self._synthesizer:
            synthesizer.expire()

    def _current_voice(self) -> str:
        voice, engine = self.get_parameter('voice').value, self._engine
        return voice or (engine.voice_for(self.get_parameter('language').value) if engine else '')

    # --- what the synthesizer tells (its Listener)

    def on_event(self, event: types.UtteranceEvent) -> None:
        self._metrics.count(event)
        if event.state in (UtteranceState.REJECTED, UtteranceState.FAILED):
            self.get_logger().warning(f'{event.state.name} {event.utterance_id} ({event.code}): {event.reason}')
        self._events_publisher.publish(conversions.event_to_message(event, self._header()))
        self._say.on_event(event)

    def on_audio(self, chunk: types.AudioChunk) -> None:
        self._audio_publisher.publish(conversions.chunk_to_message(chunk, self._header()))
        self._say.on_audio(chunk)

    def on_stats(self, stats: types.UtteranceStats) -> None:
        self._metrics.add(stats)
        self._stats_publisher.publish(conversions.stats_to_message(stats, self._header()))
        self._say.on_stats(stats)

    def on_speaking(self, speaking: bool) -> None:
        self._speaking_publisher.publish(Bool(data=speaking))

    def _header(self) -> Header:
        return conversions.header(self.get_clock().now().to_msg(), self._frame_id)

    def _look_for_namesakes(self) -> None:
        """Two nodes of one name would say everything twice, and services reach one of them by chance."""
        me = self.get_name(), self.get_namespace()
        before, self._namesakes = self._namesakes, max(self.get_node_names_and_namespaces().count(me) - 1, 0)
        if self._namesakes > before:
            self.get_logger().warning(f"there is another node '{self.get_fully_qualified_name()}', or was a few seconds ago; "
                                      'end one of them, or give them namespaces')

    def _publish_diagnostics(self) -> None:
        self._look_for_namesakes()
        synthesizer, engine = self._synthesizer, self._engine
        health = diagnostics.Health(
            state=self._state_machine.current_state[1], engine=self.get_parameter('engine').value,
            voice=self._current_voice(), progress=self._progress, doing=self._doing,
            error=self._error or (engine.problem if engine else ''),
            waiting=synthesizer.waiting if synthesizer else 0, queue_depth=self.get_parameter('queue_depth').value,
            overflow=self.get_parameter('overflow').value,
            busy=bool(synthesizer and synthesizer.busy), paused=bool(synthesizer and synthesizer.paused), metrics=self._metrics,
            device=engine.device_report() if engine else {})
        self._diagnostics_publisher.publish(diagnostics.diagnostic_array(health, self.get_fully_qualified_name(), self._header()))


def main() -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(TtsNode)
