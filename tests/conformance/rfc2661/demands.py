"""What RFC 2661 demands in sections 3 to 7, sentence by sentence, and which tests show it, or why none does."""

from __future__ import annotations

from conformance.demand import Demand

SENTENCES = {
    "3.1": 8,
    "4.1": 5, "4.2": 1, "4.3": 2, "4.4.1": 7, "4.4.2": 5, "4.4.3": 25, "4.4.4": 22, "4.4.5": 14, "4.4.6": 3,
    "5": 2, "5.1.1": 3, "5.3": 3, "5.4": 3, "5.7": 1, "5.8": 9,
    "6": 1, "6.1": 1, "6.2": 1, "6.3": 1, "6.4": 1, "6.5": 4, "6.6": 1, "6.7": 1, "6.8": 1, "6.9": 2, "6.10": 1, "6.11": 1, "6.12": 2, "6.13": 1, "6.14": 2,
    "7.1": 1, "7.2.1": 3, "7.5": 1, "7.5.1": 2,
}  # fmt: skip
"""How many sentences with MUST, SHOULD, REQUIRED or SHALL each section has."""

_HEADER = "wire/test_header.py::test_control_header_by_hand wire/test_header.py::test_control_header_with_wrong_flags_is_malformed"
_ATTRIBUTE = "test_4_4_each_attribute"
_LISTS = "test_6_what_we_send_is_what_the_section_lists test_6_a_message_without_what_it_must_have_is_not_accepted"
_NOT_USED = (
    "we use no proxy authentication towards an LNS: what a LAC of others says is believed where `proxy_auth` says so"
)

# fmt: off
DEMANDS = (
    # --- 3.1 ----------------------------------------------------------------------------------------------------------------------
    Demand("3.1", "This bit MUST be set to 1 for control messages", _HEADER),
    Demand("3.1", "All reserved bits MUST be set to 0 on outgoing messages and ignored on incoming messages",
           "wire/test_header.py::test_control_header_by_hand "
           "wire/test_header.py::test_reserved_bits_and_priority_are_ignored_on_control_messages"),
    Demand("3.1", "The S bit MUST be set to 1 for control messages", _HEADER),
    Demand("3.1", "The O bit MUST be set to 0 (zero) for control messages", _HEADER),
    Demand("3.1", "The P bit MUST be set to 0 for all control messages", "wire/test_header.py::test_control_header_by_hand"),
    Demand("3.1", "Ver MUST be 2", f"{_HEADER} wire/test_header.py::test_data_header_by_hand"),
    Demand("3.1", "Packets received with an unknown Ver field MUST be discarded",
           "wire/test_header.py::test_control_messages_and_other_versions_are_no_data tunnel/test_dialect.py::test_a_header_of_another_version_is_malformed "
           "test_7_1_a_control_message_with_a_malformed_header_should_be_discarded"),
    Demand("3.1", "Nr is reserved and, if present (as indicated by the S-bit), MUST be ignored upon receipt",
           "kernel/test_carriage.py::test_packets_of_version_2"),

    # --- 4.1 to 4.3 ---------------------------------------------------------------------------------------------------------------
    Demand("4.1", "Reserved bits MUST be set to 0", f"test_4_1_reserved_bits_must_be_set_to_0 {_ATTRIBUTE}"),
    Demand("4.1", "An AVP received with a reserved bit set to 1 MUST be treated as an unrecognized AVP",
           "test_4_1_an_avp_with_a_reserved_bit_must_be_treated_as_unrecognized"),
    Demand("4.1", "the session associated with this message MUST be terminated",
           "test_4_1_unrecognized_m_in_a_session_message_terminates_the_session test_4_1_the_session_must_be_terminated"),
    Demand("4.1", "the entire tunnel (and all sessions within) MUST be terminated",
           "test_4_1_unrecognized_m_in_a_tunnel_message_terminates_the_tunnel test_4_1_the_entire_tunnel_must_be_terminated"),
    Demand("4.1", "If the M bit is not set, an unrecognized AVP MUST be ignored",
           "test_4_1_unrecognized_without_m_must_be_ignored test_4_1_it_must_be_ignored_without_the_m_bit"),
    Demand("4.2", "MUST provide the ability to configure the associated feature off",
           "test_4_2_new_avps_are_sent_without_m"),
    Demand("4.3", "The H bit MUST only be set if a shared secret exists",
           "test_4_3_the_h_bit_needs_a_shared_secret test_4_3_the_h_bit_must_not_be_set_without_a_secret"),
    Demand("4.3", "a Random Vector AVP must also be present in the message and MUST precede the first AVP having an H bit of 1",
           "test_4_3_a_random_vector_precedes_the_first_hidden_avp"),
    Demand("4.3", "a new Random Vector AVP must be placed in the command message before the first AVP to which it applies",
           "test_4_3_the_random_vector_is_the_last_one_before wire/test_messages.py::test_the_same_attribute_twice_is_hidden_under_two_vectors"),

    # --- 4.4.1 to 4.4.3 -----------------------------------------------------------------------------------------------------------
    Demand("4.4.1", "The Message Type AVP MUST be the first AVP in a message",
           "test_4_4_1_the_message_type_comes_first test_4_4_1_the_message_type_must_be_the_first_avp"),
    Demand("4.4.1", "the Message Type is unknown to the implementation, the tunnel MUST be cleared",
           "test_4_4_1_unknown_message_type_with_m_clears_the_tunnel test_7_1_an_unknown_mandatory_message_type_clears_the_connection"),
    Demand("4.4.1", "The M-bit MUST be set to 1 for all message types defined in this document",
           "test_4_4_1_m_is_set_for_all_message_types_of_the_document"),
    Demand("4.4.1", "This AVP may not be hidden (the H-bit MUST be 0)",
           "test_4_4_1_the_message_type_may_not_be_hidden test_4_4_1_message_type_and_random_vector_are_never_hidden"),
    Demand("4.4.1", "This AVP MUST precede the first AVP with the H bit set",
           "test_4_3_a_random_vector_precedes_the_first_hidden_avp"),
    Demand("4.4.1", "The M-bit for this AVP MUST be set to 1",
           "test_4_4_1_message_type_and_random_vector_are_never_hidden"),
    Demand("4.4.1", "This AVP MUST NOT be hidden (the H-bit MUST be 0)",
           "test_4_4_1_message_type_and_random_vector_are_never_hidden test_4_4_avps_that_must_not_be_hidden_are_not"),
    Demand("4.4.2", "Human readable text in all error messages MUST be provided in the UTF-8 charset",
           "test_4_4_2_error_messages_are_in_utf_8"),
    Demand("4.4.2", "This AVP MUST NOT be hidden (the H-bit MUST be 0)",
           f"{_ATTRIBUTE} test_4_4_avps_that_must_not_be_hidden_are_not"),
    Demand("4.4.2", "The M-bit for this AVP MUST be set to 1", _ATTRIBUTE),
    Demand("4.4.2", "The Error Message SHOULD contain the attribute of the offending AVP",
           "test_4_4_2_the_error_message_names_the_offending_attribute test_4_1_the_session_must_be_terminated"),
    Demand("4.4.2", "When a General Error Code of 6 is used, additional information about the error SHOULD be included",
           "test_4_4_2_error_6_says_more_in_its_message"),
    Demand("4.4.3", "This AVP MUST NOT be hidden (the H-bit MUST be 0)",
           f"{_ATTRIBUTE} test_4_4_avps_that_must_not_be_hidden_are_not", times=4),
    Demand("4.4.3", "The M-bit for this AVP MUST be set to", _ATTRIBUTE, times=11),
    Demand("4.4.3", "A peer MUST NOT request an incoming or outgoing call with a Framing Type AVP specifying a value not advertised",
           "test_4_4_3_no_call_must_be_requested_that_was_not_offered test_4_4_4_an_ocrq_must_have_no_bits_that_were_not_offered",
           why="an ICRQ asks for no framing; its ICCN tells which one there is, though LNSs are known that advertise none at all"),
    Demand("4.4.3", "An LNS should not request an outgoing call specifying a value in the Bearer Type AVP for a device type not advertised",
           "test_4_4_3_no_call_must_be_requested_that_was_not_offered test_4_4_4_an_ocrq_must_have_no_bits_that_were_not_offered"),
    Demand("4.4.3", "This AVP MUST be present if the sender can place outgoing calls when requested",
           "test_4_4_3_the_bearer_capabilities_must_be_present"),
    Demand("4.4.3", 'The lower value "wins", and the "loser" MUST silently discard its tunnel',
           "test_4_4_3_the_lower_tie_breaker_wins_and_the_loser_must_silently_discard"),
    Demand("4.4.3", "both sides MUST discard their tunnels",
           "test_4_4_3_the_lower_tie_breaker_wins_and_the_loser_must_silently_discard test_daemon.py::test_two_daemons_call_each_other"),
    Demand("4.4.3", "The Host Name is of arbitrary length, but MUST be at least 1 octet",
           "test_4_4_3_host_name_must_be_at_least_1_octet"),
    Demand("4.4.3", "Human readable text for this AVP MUST be provided in the UTF-8 charset",
           "conformance/rfc3931/test_section_5_4_3.py::test_5_4_3_our_vendor_name_must_be_ascii", why="ASCII, which version 3 asks for, "
           "is UTF-8 as well"),
    Demand("4.4.3", "The L2TP peer MUST place this value in the Tunnel ID header field",
           "test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0"),
    Demand("4.4.3", "messages MUST be sent to that peer with a Tunnel ID value of 0",
           "test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0"),
    Demand("4.4.3", "the Assigned Tunnel ID AVP MUST be the same as the Assigned Tunnel ID AVP first sent",
           "test_4_4_3_a_stopccn_must_name_the_id_that_was_first_sent"),
    Demand("4.4.3", "If absent, the peer must assume a Window Size of 4",
           "test_4_4_3_the_window_that_the_peer_announces_is_kept"),
    Demand("4.4.3", "This AVP MUST be present in an SCCRP or SCCCN if a challenge was received",
           "test_5_1_1_a_challenge_in_sccrq_must_be_answered_in_sccrp test_5_1_1_a_challenge_in_sccrp_must_be_answered_in_scccn"),

    # --- 4.4.4 to 4.4.6 -----------------------------------------------------------------------------------------------------------
    Demand("4.4.4", "This AVP MUST NOT be hidden (the H-bit MUST be 0)",
           f"{_ATTRIBUTE} test_4_4_avps_that_must_not_be_hidden_are_not", times=2),
    Demand("4.4.4", "The M-bit for this AVP MUST be set to", _ATTRIBUTE, times=15),
    Demand("4.4.4", "The L2TP peer MUST place this value in the Session ID header field",
           "test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0"),
    Demand("4.4.4", "messages MUST be sent to that peer with a Session ID of 0",
           "test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0"),
    Demand("4.4.4", "Call Serial Numbers should be set to progressively increasing values",
           "test_4_4_4_call_serial_numbers_progressively_increase"),
    Demand("4.4.4", "Bits in the Value field of this AVP MUST only be set by the LNS for an OCRQ if it was set in the",
           "test_4_4_4_an_ocrq_must_have_no_bits_that_were_not_offered tunnel/test_facts.py::test_any_is_what_was_offered", times=2),
    Demand("4.4.4", "Sequence Numbers MUST always be present on the data channel",
           "test_4_4_4_sequence_numbers_must_be_present_where_they_are_required"),
    Demand("4.4.5", "The M-bit for this AVP MUST be set to 0", _ATTRIBUTE, times=8),
    Demand("4.4.5", "This AVP MUST be present if proxy authentication is to be utilized", why=_NOT_USED),
    Demand("4.4.5", "This AVP MUST be present in messages containing a Proxy Authen Type AVP", why=_NOT_USED),
    Demand("4.4.5", "This AVP MUST be present for Proxy Authen Types 2 and 5", why=_NOT_USED),
    Demand("4.4.5", "the most significant octet MUST be 0", "test_4_4_5_proxy_authen_id_is_the_low_octet"),
    Demand("4.4.5", "The Proxy Authen ID AVP MUST be present for Proxy authen types 2, 3 and 5", why=_NOT_USED),
    Demand("4.4.5", "This AVP MUST be present for Proxy authen types 1, 2, 3 and 5", why=_NOT_USED),
    Demand("4.4.6", "Reserved - Not used, MUST be 0",
           f"{_ATTRIBUTE} test_4_4_6_call_errors_reserved_field_is_not_used"),
    Demand("4.4.6", "The M-bit for this AVP MUST be set to 1", _ATTRIBUTE, times=2),
    Demand("4.4.6", "The LAC should honor these fields",
           "test_6_14_the_lac_must_be_able_to_update_its_call_information",
           why="maps are kept and shown: no LAC of ours has an asynchronous line that would need them"),

    # --- 5 ------------------------------------------------------------------------------------------------------------------------
    Demand("5", "The Tunnel and corresponding Control Connection MUST be established before an incoming or outgoing call is initiated",
           "test_5_the_control_connection_must_be_established_before_a_call_is_initiated"),
    Demand("5", "An L2TP Session MUST be established before L2TP can begin to tunnel PPP frames",
           "tunnel/test_task.py::test_a_link_runs_while_its_session_is_up"),
    Demand("5.1.1", "a Challenge Response AVP MUST be sent in the following SCCRP or SCCCN",
           "test_5_1_1_a_challenge_in_sccrq_must_be_answered_in_sccrp test_5_1_1_a_challenge_in_sccrp_must_be_answered_in_scccn"),
    Demand("5.1.1", "establishment of the tunnel MUST be disallowed",
           "test_5_1_1_without_a_match_establishment_must_be_disallowed"),
    Demand("5.1.1", "a single shared secret MUST exist between the LAC and LNS",
           "test_5_1_1_without_a_shared_secret_a_challenge_cannot_be_answered"),
    Demand("5.3", "MUST NOT be used as an Assigned Session ID or Assigned Tunnel ID",
           "test_5_3_zero_must_not_be_assigned test_4_4_3_assigned_tunnel_id_is_non_zero test_4_4_4_assigned_session_id_is_non_zero "
           "tunnel/test_core_calls.py::test_session_ids_are_never_zero_and_rest_after_use"),
    Demand("5.3", "the Session ID field MUST be sent as 0", "test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0"),
    Demand("5.3", "the Tunnel ID MUST be sent as 0", "test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0"),
    Demand("5.4", "If this AVP is present during session setup, sequence numbers MUST be present at all times",
           "test_4_4_4_sequence_numbers_must_be_present_where_they_are_required kernel/test_carriage.py::test_numbers_are_due"),
    Demand("5.4", "it MUST stop sending sequence numbers in future data messages",
           "kernel/test_carriage.py::test_a_lac_does_as_the_lns_does"),
    Demand("5.4", "it MUST begin sending sequence numbers in future outgoing data messages",
           "kernel/test_carriage.py::test_a_lac_does_as_the_lns_does kernel/test_tuntap.py::test_ppp_frames"),
    Demand("5.7", "The receiver of a StopCCN MUST send a ZLB ACK",
           "test_5_7_the_receiver_must_acknowledge_and_keep_state_for_31_seconds"),
    Demand("5.8", "receipt of duplicate messages MUST be acknowledged by the reliable transport",
           "test_5_8_receipt_of_duplicate_messages_must_be_acknowledged"),
    Demand("5.8", "the Nr value MUST be updated with the sequence number of the next expected message",
           "test_5_8_the_retransmitted_message_contains_the_same_ns_and_an_updated_nr"),
    Demand("5.8", "Each subsequent retransmission of a message MUST employ an exponential backoff interval",
           "test_5_8_each_retransmission_must_employ_an_exponential_backoff_interval_until_the_tunnel_is_cleared"),
    Demand("5.8", "This cap MUST be no less than 8 seconds per retransmission",
           "test_5_8_the_cap_must_be_no_less_than_8_seconds"),
    Demand("5.8", "the tunnel and all sessions within MUST be cleared",
           "test_5_8_after_several_retransmissions_the_tunnel_and_all_sessions_must_be_cleared"),
    Demand("5.8", "the state and reliable delivery mechanisms MUST be maintained and operated for the full retransmission interval",
           "test_7_1_the_reliable_delivery_runs_before_the_tunnel_is_destroyed test_5_7_the_receiver_must_acknowledge_and_keep_state_for_31_seconds"),
    Demand("5.8", "MUST accept a window of up to 4 from its peer",
           "test_5_8_must_accept_a_window_of_up_to_4_from_its_peer"),
    Demand("5.8", "a slow start and congestion avoidance window adjustment procedure SHOULD be utilized",
           "test_congestion_saves_half_of_cwnd_in_ssthresh_and_reenters_slow_start "
           "test_slow_start_doubles_cwnd_each_round_trip_up_to_the_advertised_window test_congestion_avoidance_needs_cwnd_acks_for_one_packet"),
    Demand("5.8", "A peer MUST NOT withhold acknowledgment of messages",
           "test_5_8_a_peer_must_not_withhold_acknowledgment"),

    # --- 6 ------------------------------------------------------------------------------------------------------------------------
    Demand("6", 'Any "reserved" or "empty" fields MUST be sent as 0 values', _ATTRIBUTE),
    *(Demand(f"6.{number}", f"MUST be present in the {name}", _LISTS) for number, name in enumerate(
        ("SCCRQ", "SCCRP", "SCCCN", "StopCCN", "HELLO", "ICRQ", "ICRP", "ICCN", "OCRQ", "OCRP", "OCCN", "CDN"), 1)),
    Demand("6.5", "A peer MUST NOT expect HELLO messages at any time or interval",
           "test_5_5_a_peer_may_never_send_hello"),
    Demand("6.5", "a recommended default is 60 seconds, but SHOULD be configurable",
           "test_5_5_hello_after_a_period_without_data_or_control test_5_5_a_peer_may_never_send_hello"),
    Demand("6.5", "The Session ID in a HELLO message MUST be 0", "test_6_5_messages_of_the_tunnel_have_session_id_0"),
    Demand("6.9", "An LNS MUST have received a Bearer Capabilities AVP during tunnel establishment",
           "test_4_4_3_no_call_must_be_requested_that_was_not_offered"),
    Demand("6.12", "The peer MUST clean up any resources, and does not send back any indication",
           "test_7_4_and_7_5_calls test_5_6_cdn_clears_a_session_and_the_connection_may_stay"),
    Demand("6.13", "MUST be present in the WEN", "test_6_13_and_6_14_without_their_avp_end_the_session"),
    Demand("6.13", "not more than once every 60 seconds",
           why="it should only be sent when an error occurs, and we send none: no line of ours counts them"),
    Demand("6.14", "the LAC MUST be able to update its internal call information and behavior",
           "test_6_14_the_lac_must_be_able_to_update_its_call_information"),
    Demand("6.14", "MUST be present in the SLI", "test_6_13_and_6_14_without_their_avp_end_the_session"),

    # --- 7 ------------------------------------------------------------------------------------------------------------------------
    Demand("7.1", "This MUST NOT be considered a license to send malformed AVPs",
           "test_6_what_we_send_is_what_the_section_lists wire/test_tshark.py::test_no_complaint"),
    Demand("7.1", "Receipt of an invalid or unrecoverable malformed control message should be logged",
           "test_7_1_a_message_in_an_improper_sequence_clears_the_connection test_7_1_a_missing_required_avp_is_malformed"),
    Demand("7.1", "A control message with a malformed header should be discarded",
           "test_7_1_a_control_message_with_a_malformed_header_should_be_discarded"),
    Demand("7.1", "the session or tunnel should be terminated with a proper Result or Error Code sent",
           "test_7_1_a_malformed_avp_with_the_m_bit_terminates_the_session_or_tunnel test_7_1_malformed_avp_with_m_is_not_recoverable"),
    Demand("7.1", "the AVP should be ignored",
           "test_7_1_a_malformed_avp_without_the_m_bit_is_ignored test_7_1_malformed_avp_without_m_is_ignored"),
    Demand("7.1", "the reliable delivery mechanism must be allowed to run",
           "test_7_1_the_reliable_delivery_runs_before_the_tunnel_is_destroyed"),
    Demand("7.2.1", "not supported, a StopCCN MUST be sent to the peer",
           "test_7_2_1_an_unsupported_earlier_version_must_be_stopped"),
    Demand("7.2.1", "the originator MUST send a Stop-Control-Connection-Notification and clean up the tunnel",
           "test_7_2_1_control_connection_establishment"),
    Demand("7.2.1", "If the originator receives a Stop-Control-Connection-Notification it MUST also clean up the tunnel",
           "test_7_2_1_control_connection_establishment"),
    Demand("7.5", "The LAC MUST respond to the Outgoing-Call-Request message with an Outgoing-Call-Reply message",
           "test_7_4_and_7_5_calls"),
    Demand("7.5.1", "the telco call MUST be released via appropriate mechanisms and the session cleaned up",
           "test_7_4_and_7_5_calls"),
    Demand("7.5.1", "a Call-Disconnect-Notify message MUST be sent to the LNS", "test_7_4_and_7_5_calls"),
    Demand("7.6", "The sender of this Notification should wait a finite period of time for the acknowledgment",
           "test_7_6_the_sender_waits_a_finite_time_for_the_acknowledgement"),
)
# fmt: on

BESIDES = """
test_4_1_maximum_of_1023_octets_in_a_single_avp
test_4_1_vendors_never_collide_with_the_ietf
test_4_1_the_minimum_length_of_an_avp_is_6
test_4_3_first_segment_is_md5_of_type_secret_and_vector
test_4_3_the_original_length_is_restored_whatever_the_padding
test_4_3_second_segment_is_md5_of_secret_and_first_result
test_4_4_all_attributes_are_listed
test_4_4_1_a_random_vector_is_another_one_each_time
test_4_4_1_unknown_message_type_without_m_may_be_ignored
test_4_4_2_result_code_has_three_lengths
test_4_4_3_our_window_is_announced
test_4_4_4_sequencing_required_has_no_value
test_5_1_three_messages_and_a_zlb
test_5_1_1_a_challenge_is_never_the_same_twice
test_5_2_1_incoming_call
test_5_3_multiple_sessions_may_exist_within_a_tunnel
test_5_5_hello_is_acknowledged
test_5_5_if_the_hello_is_not_delivered_the_tunnel_is_down
test_5_7_a_single_stopccn_shuts_down_all_sessions
test_5_8_nr_in_a_received_zlb_flushes_messages_from_the_retransmit_queue
test_5_8_the_preceding_32767_values_are_duplicates
test_5_8_ns_begins_at_0_and_each_subsequent_message_is_sent_with_the_next_increment
test_5_8_messages_are_delivered_in_order_and_without_duplication
test_5_8_up_to_n_messages_are_outstanding
test_5_8_the_sequence_number_is_a_free_running_counter_modulo_65536
test_5_8_nr_is_not_updated_by_the_ns_of_a_zlb
test_5_8_the_reliable_transport_delivers_over_a_bad_path
test_5_8_ns_is_not_incremented_after_a_zlb_message_is_sent
test_6_every_message_that_is_checked_for_sending_is_listed
test_6_3_and_6_5_need_nothing
test_7_1_a_malformed_message_that_ends_something_is_obeyed
test_7_1_a_message_missing_a_required_avp_is_malformed
test_7_2_1_tunnel_open_event_to_waiting_sessions
test_7_4_1_and_7_5_2_idle_cleans_up
test_7_4_1_and_7_5_2_idle_to_wait_tunnel
test_7_6_a_tunnel_without_calls_may_stay_open
"""
"""Tests of what these sections say without such a word."""
