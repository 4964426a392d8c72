"""What is said is understood: a recogniser hears sentences from the audio topic."""

import pytest

pytest.importorskip('pocketsphinx', reason='the recogniser is not installed; `make test` installs it')
from recogniser import SentenceRecogniser, words     # noqa: E402

SENTENCES = (
    'The battery is almost empty.', 'Please step away from the door.', 'I will bring your coffee to the table.',
    'Good morning, how may I help you?', 'There is something in front of me.', 'The meeting starts in ten minutes.',
    'Follow me to the second floor.', 'I cannot find the kitchen.', 'Thank you for your patience.',
    'The red box is on the left shelf.', 'Turn right after the long hall.', 'My name is not important today.',
    'It looks like rain this afternoon.', 'Would you like some water?', 'The elevator is out of order.',
    'Every window in the house is closed.', 'I have seven new messages for you.', 'Do not touch the yellow button.',
    'We are waiting for the doctor.', 'All systems are working again.')


def test_at_least_18_of_20_sentences_are_recognised_from_the_audio_topic(espeak):
    recogniser = SentenceRecogniser(SENTENCES)
    heard = {}
    for number, sentence in enumerate(SENTENCES):
        recording = espeak.speak(id=str(number), text=sentence)
        heard[sentence] = recogniser.recognise(recording.samples, recording.sample_rate)
    right = [sentence for sentence in SENTENCES if heard[sentence] == words(sentence)]
    print(f'{len(right)} of {len(SENTENCES)} recognised')
    assert len(right) >= 18, {s: h for s, h in heard.items() if s not in right}


def test_the_recogniser_can_tell_noise_and_another_sentence_apart():
    """The test above can fail: silence is no sentence, and one sentence is not another."""
    import numpy as np
    recogniser = SentenceRecogniser(SENTENCES)
    noise = np.random.default_rng(0).normal(0, 300, 22050).astype(np.int16)
    assert words(SENTENCES[0]) != recogniser.recognise(noise, 22050)
