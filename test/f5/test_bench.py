"""`ishowtts bench rtf` times both engines on the same work and says what it did."""

import json

import pytest

from ishowtts_ros.bench import rtf
from ishowtts_ros.engines.f5.config import architecture

pytest.importorskip('torch')


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
    for row in report['ratios']:
        ours, theirs = (rows[engine, row['speech'], row['nfe_step']] for engine in rtf.ENGINES)
        assert row['equal_nfe'] == pytest.approx(theirs['total'] / ours['total'])
    assert report['engines']['f5']['eager_steps'] > 0 and report['engines']['f5']['peak_memory_gib'] > 0
    assert report['gemm_tflops']['float32'] > 0
    assert (tmp_path / 'rtf.png').read_bytes().startswith(b'\x89PNG')


def test_what_would_take_too_long_is_scaled_and_says_so(capsys, tiny):
    lines = bench(capsys, tiny, '--engines', 'f5', '--limit', '0', '--option', 'dtype=float32')
    report = json.loads(lines[-1])
    assert all(row['scaled'] for row in report['results'])
    assert any('scaled from fewer steps' in line for line in lines[:-1])


def test_scaled_results_lie_on_the_line_through_what_was_timed(tiny):
    timings = {1: rtf.Timing(1.5, 1.4, 2.0), 3: rtf.Timing(2.5, 2.4, 2.0)}
    arguments = rtf.parse(['--nfe', '3', '32', '--reference', '5'])
    timed, scaled = rtf.results('f5', 'x', arguments, timings, architecture(str(tiny.model)), gemm=1e12)
    assert timed.step == scaled.step == 0.5
    assert (timed.total, timed.scaled) == (2.5, False)
    assert (scaled.total, scaled.rtf, scaled.first_audio_latency, scaled.scaled) == (17.0, 8.5, 16.9, True)


def test_the_floor_is_that_of_the_published_architecture():
    """N * (378.9 MFLOP + 90,112 * N FLOP), twice for guidance, over the rate of matrix products."""
    arguments = rtf.parse(['--nfe', '8', '--reference', '5.33'])
    timings = {8: rtf.Timing(8.0, 8.0, 8.37)}
    result, = rtf.results('f5', 'x', arguments, timings, architecture('F5TTS_v1_Base'), gemm=2e12)
    frames = round((5.33 + 8.37) * 93.75)
    assert result.step == 1.0
    assert result.floor == pytest.approx(2 * frames * (378.9e6 + 90_112 * frames) / 2e12, rel=1e-3)


def test_ratios_are_against_equal_steps_and_against_the_default():
    def result(engine, nfe_step, total):
        return rtf.Result(engine, 'x', nfe_step, 1.0, total, total, 0.1, total, 0.5, False)

    rows = rtf.ratios([result('f5', 7, 1.0), result('f5_upstream', 7, 2.0), result('f5_upstream', 32, 9.0)])
    assert rows == [{'speech': 'x', 'nfe_step': 7, 'equal_nfe': 2.0, 'against_default': 9.0, 'scaled': False}]


def test_help_explains(capsys):
    with pytest.raises(SystemExit):
        rtf.main(['--help'])
    assert '--plot' in capsys.readouterr().out
