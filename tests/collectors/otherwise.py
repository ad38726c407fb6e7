"""Sources that are asked by something else than an API over HTTP: which test shows that each way to go wrong is told,
or why there is no such way. All others are broken in every way by test_asked.py.
"""

from collections.abc import Mapping
from typing import Final

WAYS: Final = (
    "refused credentials",
    "something unexpected in an answer",
    "an answer of something else",
    "a clock that is off",
    "what shifts while it is read",
    "too many questions",
    "it breaks down",
    "no answer in time",
    "a huge answer",
)
_KAFKA: Final = "test_kafka.py::"
_TABLES: Final = "probes/test_tables.py::"
_OBJECTS: Final = "probes/test_objects.py::"
_DEPENDENCIES: Final = "probes/test_dependencies.py::"
_BADLY: Final = _OBJECTS + "test_a_container_that_answers_badly_is_told_and_nothing_is_remembered"
_AWAY: Final = _TABLES + "test_a_database_that_is_away_is_told_once_with_all_that_it_concerns_and_without_its_password"
_COLUMN: Final = _TABLES + "test_a_column_that_is_not_there_is_told_and_the_columns_still_are"

OTHERWISE: Final[Mapping[str, Mapping[str, str]]] = {
    "kafka": {
        "refused credentials": _KAFKA + "test_refused_credentials_are_told_with_the_remedy",
        "something unexpected in an answer": _KAFKA + "test_what_is_no_event_costs_that_message_only",
        "an answer of something else": _KAFKA + "test_what_is_no_broker_is_told_by_what_it_answers",
        "a clock that is off": "none: how far it was read is counted in offsets",
        "what shifts while it is read": _KAFKA + "test_events_that_were_deleted_before_they_were_read_are_counted",
        "too many questions": "none: brokers slow a client down, and librdkafka waits",
        "it breaks down": _KAFKA + "test_a_topic_that_is_not_there_and_brokers_that_are_away_are_told",
        "no answer in time": _KAFKA + "test_a_topic_that_is_not_there_and_brokers_that_are_away_are_told",
        "a huge answer": "none: librdkafka takes no message beyond `receive.message.max.bytes`",
    },
    "dataset_probe": {
        "refused credentials": _TABLES + "test_a_user_that_is_refused_is_told_and_the_password_is_not_shown",
        "something unexpected in an answer": _TABLES
        + "test_a_column_that_is_not_there_is_told_and_the_columns_still_are",
        "an answer of something else": _TABLES + "test_what_is_no_database_is_told",
        "a clock that is off": _TABLES + "test_a_row_of_the_future_makes_nothing_fresh",
        "what shifts while it is read": "none: a look is one statement",
        "too many questions": _TABLES + "test_a_statement_that_would_cost_too_much_is_not_run",
        "it breaks down": _TABLES
        + "test_a_database_that_is_away_is_told_once_with_all_that_it_concerns_and_without_its_password",
        "no answer in time": _TABLES + "test_a_statement_is_ended_at_its_time_out",
        "a huge answer": "none: a look reads one row",
    },
    "object_probe": {
        "refused credentials": _OBJECTS + "test_a_signature_that_is_refused_is_told_with_the_remedy_and_not_shown",
        "something unexpected in an answer": _OBJECTS
        + "test_a_container_that_answers_badly_is_told_and_nothing_is_remembered",
        "an answer of something else": _OBJECTS + "test_a_page_for_people_is_no_empty_container",
        "a clock that is off": "none: times of objects are told as they are, and a due moment is ours",
        "what shifts while it is read": "none: a listing goes on behind the name at which it was",
        "too many questions": _BADLY,
        "it breaks down": _OBJECTS + "test_a_place_that_cannot_be_read_is_told_with_all_that_it_concerns",
        "no answer in time": _BADLY,
        "a huge answer": _BADLY,
    },
    "dependency_probe": {
        "refused credentials": _DEPENDENCIES + "test_an_answer_is_judged_by_its_status_and_its_text",
        "something unexpected in an answer": _DEPENDENCIES + "test_an_answer_is_judged_by_its_status_and_its_text",
        "an answer of something else": _DEPENDENCIES + "test_a_port_that_speaks_no_tls_is_wrong",
        "a clock that is off": "none: only ours counts",
        "what shifts while it is read": "none: a look is one question",
        "too many questions": _DEPENDENCIES + "test_an_answer_is_judged_by_its_status_and_its_text",
        "it breaks down": _DEPENDENCIES + "test_an_api_that_is_away_is_wrong_and_not_an_error_of_the_source",
        "no answer in time": _DEPENDENCIES + "test_an_answer_that_takes_too_long_is_wrong",
        "a huge answer": _DEPENDENCIES + "test_a_huge_answer_is_wrong_and_is_not_read_whole",
    },
}
