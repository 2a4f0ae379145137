"""The language of a text, as IFEval asks for it: by the profiles of `langdetect`, with a generator of our own."""

from __future__ import annotations

import functools

SEED = 0


@functools.cache
def profiles():
    """What is known of 55 languages; reading it takes half a second."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory  # wanted by this task alone

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(SEED)
    return factory


def is_language(text: str, language: str) -> bool:
    """Whether a text is in the language of an ISO 639-1 code; a text that shows none is in every language."""
    from langdetect.lang_detect_exception import LangDetectException

    detector = profiles().create()
    detector.append(text)
    try:
        return detector.detect() == language
    except LangDetectException:  # no letters that any language has
        return True
