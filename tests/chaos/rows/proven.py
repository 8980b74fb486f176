"""Rows that tests prove, which are named and run; and rows that nothing tests, with the reason."""

from tests.chaos.matrix import proven, untested

MIGRATE = "tests/infrastructure/postgres/test_migrate.py"
LIFE = "tests/infrastructure/embedded/test_life.py"
PROJECTOR = "tests/infrastructure/projections/test_projector.py"
REBUILD = "tests/infrastructure/projections/test_rebuild.py"
CODEC = "tests/infrastructure/test_codec.py"
POOLER = "tests/infrastructure/postgres/test_pooler.py"
MISBEHAVIOR = "tests/infrastructure/gateways/test_misbehavior.py"

proven(
    "F34",
    "a migration under load and behind a long reader",
    f"{MIGRATE}::test_behind_a_long_reader_other_readers_go_on_and_the_migration_comes_after",
    f"{MIGRATE}::test_behind_a_long_reader_the_migration_gives_way_and_says_who_it_is",
)
proven(
    "F35b",
    "a migration killed half-way, two migrators at once",
    f"{MIGRATE}::test_a_killed_migrator_leaves_whole_files_and_the_next_one_goes_on",
    f"{MIGRATE}::test_two_migrators_at_once_apply_every_file_once",
    f"{MIGRATE}::test_who_waits_too_long_is_told_who_migrates",
    "tests/infrastructure/test_failpoints.py::test_the_program_dies_at_a_fail_point_only_in_test_mode",
)
proven(
    "F1b",
    "300 orders, kill -9 of two workers over and over between the gateway's answer and the commit",
    "tests/chaos/test_double_capture.py::test_no_order_is_captured_twice_however_often_workers_die_between_answer_and_commit",
)
proven(
    "F54b",
    "hostile messages at the consumer, on both brokers: bounded letters, bounded memory",
    "tests/infrastructure/messaging/test_pgmq_broker.py::test_hostile_messages_leave_no_memory_behind",
    "tests/infrastructure/messaging/test_rabbitmq_broker.py::test_hostile_messages_leave_no_memory_behind",
    "tests/e2e/test_broker_door.py::test_every_hostile_order_is_answered_or_kept_and_none_is_taken",
)
proven(
    "F55",
    "an event from the future",
    f"{PROJECTOR}::test_an_unknown_event_stops_the_projections_that_read_it_and_no_other",
    f"{CODEC}::test_an_unknown_type_or_schema_is_said_and_not_guessed",
)
proven(
    "F56",
    "an event of an old version",
    f"{CODEC}::test_every_event_type_has_a_stored_example_that_still_loads",
    f"{CODEC}::test_a_field_that_a_newer_program_added_is_ignored",
)
proven(
    "F72b",
    "every way of answering badly",
    f"{MISBEHAVIOR}::test_the_outcome_is_unknown_when_the_service",
    f"{MISBEHAVIOR}::test_the_deadline_holds_while_the_service",
    f"{MISBEHAVIOR}::test_a_redirect_is_not_followed",
    f"{MISBEHAVIOR}::test_a_well_formed_decline_is_an_answer_under_either_status",
)
proven(
    "F75",
    "the gateway knows the key with another amount",
    "tests/infrastructure/gateways/test_http_contract.py::test_a_key_used_for_another_amount_is_refused_as_poison",
    "tests/infrastructure/gateways/test_asking_only.py::test_a_key_that_is_known_for_something_else_is_an_incident",
    level="N",
)
proven(
    "F37",
    "failover to a replica that misses the last commits",
    "tests/scale/test_lossy_failover.py::test_what_an_asynchronous_replica_misses_is_named_and_nothing_is_captured_again",
    "tests/scale/test_lossy_failover.py::test_with_a_synchronous_replica_nothing_that_was_acknowledged_is_lost",
    level="R",
)
proven(
    "F36",
    "old and new version together: what a newer one writes is read, or left alone with a word",
    f"{CODEC}::test_a_field_that_a_newer_program_added_is_ignored",
    f"{CODEC}::test_every_event_type_has_a_stored_example_that_still_loads",
    f"{PROJECTOR}::test_an_unknown_event_stops_the_projections_that_read_it_and_no_other",
    "tests/infrastructure/messaging/test_frames.py::test_what_is_almost_a_frame_is_refused_without_repeating_it",
    "tests/workers/test_live.py::test_what_this_version_does_not_understand_is_refused_and_the_last_good_one_stays",
    f"{MIGRATE}::test_a_newer_database_is_refused",
    level="R",
)
proven(
    "F38",
    "a backup older than the broker's content",
    "tests/scale/test_backup.py::test_a_backup_of_a_running_system_is_whole_and_goes_on_where_it_ended",
    level="R",
)
proven(
    "F86",
    "a pooler in transaction mode in between",
    f"{POOLER}::test_a_pooler_is_noticed_and_said_once",
    f"{POOLER}::test_a_holder_has_no_beacon_and_is_an_orphan_only_after_its_time",
    f"{POOLER}::test_a_lease_is_kept_guarded_and_taken_over_after_its_time",
    f"{POOLER}::test_what_needs_a_session_of_its_own_is_refused_with_the_way_out",
    f"{POOLER}::test_no_session_of_the_pooler_keeps_a_lock_or_a_setting",
    "tests/e2e/test_pooler.py::test_orders_go_from_submission_to_delivery_behind_a_pooler",
    level="R",
)
proven(
    "F98",
    "the embedded server is orphaned, its pid is taken by somebody else",
    f"{LIFE}::test_a_server_whose_owner_was_killed_is_adopted",
    f"{LIFE}::test_a_killed_server_starts_again_with_its_rows_while_its_clients_are_connected",
    f"{LIFE}::test_a_stranger_with_the_pid_of_the_killed_server_is_left_alone",
    f"{LIFE}::test_a_stranger_with_the_pid_of_the_killed_owner_is_no_owner",
)
proven(
    "F99", "two starts at once in one data folder", f"{LIFE}::test_two_starts_at_once_give_one_server_with_one_owner"
)

untested("F76", "webhooks out of order", "there are no webhooks: the carrier is asked", level="C")
