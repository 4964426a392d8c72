"""`ishowtts bench rtf` times both engines on the same work and says what it did."""

import json
import math
import time

import pytest
from speaking import loaded, speak

from ishowtts_ros.bench import rtf
from ishowtts_ros.engines.f5.config import architecture

pytest.importorskip('torch', reason='torch is not installed; `make test` installs it')


def bench(capsys, tiny, *more):
    """The lines that one small run prints."""
    assert rtf.main(['--model', str(tiny.model), '--vocoder', str(tiny.vocoder), '--device', 'cpu', '--threads', '1',
                     '--nfe', '2', '4', '--speech', '0.6', '--reference', '1.5', '--repeat', '1', *more]) == 0
    return capsys.readouterr().out.splitlines()


def test_both_engines_are_timed_on_the_same_work(upstream, capsys, tiny, tmp_path):
    lines = bench(capsys, tiny, '--plot', str(tmp_path / 'rtf.png'))
    report = json.loads(lines[-1])
    assert 'random checkpoint' in report['weights'] and any('random checkpoint' in line for line in lines[:-1])
    rows = {(row['engine'], row['speech'], row['nfe_step']): row for row in report['results']}
    assert len(rows) == 2 * 2 * 2
    for (_, speech, nfe_step), row in rows.items():
        assert row['total'] > 0 and 0 < row['first_audio_latency'] <= row['total'] and not row['scaled']
        assert row['audio'] == rows['f5', speech, nfe_step]['audio'], 'the same work'
        assert row['rtf'] == pytest.approx(row['total'] / row['audio'])
    assert rows['f5', '0.6 s', 2]['audio'] == pytest.approx(0.6, abs=0.05)
    assert len(report['ratios']) == 4
    for row in report['ratios']:
        ours, theirs = (rows[engine, row['speech'], row['nfe_step']] for engine in ('f5', 'f5_upstream'))
        assert row['equal_nfe'] == pytest.approx(theirs['total'] / ours['total'])
    assert report['engines']['f5']['eager_steps'] > 0 and report['engines']['f5']['peak_memory_gib'] > 0
    assert report['gemm_tflops']['float32'] > 0
    assert (tmp_path / 'rtf.png').read_bytes().startswith(b'\x89PNG')


def test_what_would_take_too_long_is_scaled_and_says_so(upstream, capsys, tiny):
    """Three engines; numbers agree with each other, also those that were not timed."""
    lines = bench(capsys, tiny, '--engines', *rtf.ENGINES, '--limit', '0', '--option', 'dtype=float32')
    report = json.loads(lines[-1])
    assert all(row['scaled'] == (row['nfe_step'] != rtf.PROBE_STEPS) for row in report['results'])
    assert any('scaled from 2 steps' in line for line in lines[:-1])
    rows = {(row['engine'], row['speech'], row['nfe_step']): row for row in report['results']}
    for engine in rtf.ENGINES:
        probed, scaled = (rows[engine, '0.6 s', nfe_step] for nfe_step in (2, 4))
        assert 0 < probed['step'] < probed['total']
        assert scaled['total'] == pytest.approx(probed['total'] + 2 * probed['step'])
    assert [row['engine'] for row in report['ratios'][:4]] == ['f5', 'f5', 'f5_int8', 'f5_int8']
    assert all(row['rounds'] >= rtf.MIN_ROUNDS and row['lowest_round'] <= row['highest_round'] for row in report['ratios'])
    assert report['engines']['f5']['int8_products'] == 0 < report['engines']['f5_int8']['int8_products']
    assert report['gemm_tflops']['int8'] > 0


def timing(total, step=math.inf):
    return rtf.Timing(total, total - 0.1, 2.0, step)


def test_scaled_results_add_steps_to_what_was_timed(tiny):
    """The best of all rounds: of the whole and of a step each for itself."""
    runs = {('f5', 'x', 2): [timing(2.5, 0.75), timing(2.0, 0.5), timing(4.0, 1.0)]}
    arguments = rtf.parse(['--nfe', '2', '32', '--reference', '5'])
    timed, scaled = rtf.results('f5', 'x', arguments, runs, architecture(str(tiny.model)), gemm=1e12)
    assert timed.step == scaled.step == 0.5
    assert (timed.total, timed.scaled) == (2.0, False)
    assert (scaled.total, scaled.rtf, scaled.first_audio_latency, scaled.scaled) == (17.0, 8.5, 16.9, True)


def test_a_step_is_the_difference_between_runs_where_all_were_timed(tiny):
    runs = {('f5', 'x', 7): [timing(5.0), timing(4.5)], ('f5', 'x', 32): [timing(17.0), timing(18.0)]}
    arguments = rtf.parse(['--nfe', '7', '32', '--reference', '5'])
    seven, many = rtf.results('f5', 'x', arguments, runs, architecture(str(tiny.model)), gemm=1e12)
    assert seven.step == many.step == 0.5
    assert (seven.total, many.total, many.scaled) == (4.5, 17.0, False)


def test_the_floor_is_that_of_the_published_architecture():
    """N * (378.9 MFLOP + 90,112 * N FLOP), twice for guidance, over the rate of matrix products."""
    arguments = rtf.parse(['--nfe', '8', '--reference', '5.33'])
    runs = {('f5', 'x', 8): [rtf.Timing(8.0, 8.0, 8.37, 1.0)]}
    result, = rtf.results('f5', 'x', arguments, runs, architecture('F5TTS_v1_Base'), gemm=2e12)
    frames = round((5.33 + 8.37) * 93.75)
    assert result.step == 1.0
    assert result.floor == pytest.approx(2 * frames * (378.9e6 + 90_112 * frames) / 2e12, rel=1e-3)


def test_ratios_are_against_equal_steps_and_against_the_default(tiny):
    """Of the bests, with the lowest and highest of single rounds beside them."""
    runs = {('f5', 'x', 7): [timing(1.25), timing(1.0)], ('f5_upstream', 'x', 7): [timing(2.0), timing(3.0)],
            ('f5', 'x', 32): [timing(4.0)] * 2, ('f5_upstream', 'x', 32): [timing(9.0)] * 2}
    arguments = rtf.parse(['--nfe', '7', '32'])
    arch = architecture(str(tiny.model))
    both = [result for name in ('f5', 'f5_upstream') for result in rtf.results(name, 'x', arguments, runs, arch, 1e12)]
    assert rtf.ratios(both, runs)[0] == {
        'engine': 'f5', 'speech': 'x', 'nfe_step': 7, 'equal_nfe': 2.0, 'lowest_round': 1.6, 'highest_round': 3.0,
        'rounds': 2, 'against_default': 9.0, 'scaled': False}


@pytest.mark.parametrize('name', ['f5', 'f5_upstream'])
def test_steps_are_seen_as_they_start(upstream, tiny, voice, name):
    """The clock ticks once in each solver step, and the shortest step is no longer than their mean."""
    with loaded(name, tiny, voice) as engine:
        rtf.utter(engine, 'Hello there.', 2)
        for nfe_step in (1, 2, 7):
            with rtf.StepClock(engine) as clock:
                start = time.perf_counter()
                speak(engine, 'Hello there.', clock.canceled, nfe_step=nfe_step)
                total = time.perf_counter() - start
            # f5 asks before it takes a text up, and before it emits, too
            assert len(clock._starts) == nfe_step + (2 if name == 'f5' else 0)
            if nfe_step > 1:
                assert 0 < clock.shortest(nfe_step) < total / (nfe_step - 1)
            else:
                assert clock.shortest(1) == math.inf
        before = len(clock._starts)
        speak(engine, 'Hello there.')
        assert len(clock._starts) == before, 'no longer listening'


def test_more_than_one_chunk_is_refused(capsys):
    with pytest.raises(SystemExit):
        rtf.parse(['--speech', '3', '20'])
    assert 'several chunks' in capsys.readouterr().err


def test_help_explains(capsys):
    with pytest.raises(SystemExit):
        rtf.main(['--help'])
    assert '--plot' in capsys.readouterr().out
