"""What the f5 tests share. Importing f5_tts takes about 20 s: it is done once, by the tests that compare with it."""

import pytest


@pytest.fixture(scope='session')
def upstream():
    """f5-tts's inference module: chunk_text, preprocess_ref_audio_text, infer_batch_process, ..."""
    return pytest.importorskip('f5_tts.infer.utils_infer')


@pytest.fixture(scope='session')
def upstream_text():
    """f5-tts's text functions: convert_char_to_pinyin, list_str_to_idx, get_tokenizer."""
    return pytest.importorskip('f5_tts.model.utils')
