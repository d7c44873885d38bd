"""What RFC 3931 demands in sections 3 to 7, sentence by sentence, and which tests show it, or why none does."""

from __future__ import annotations

from conformance.demand import Demand

SENTENCES = {
    "3": 1, "3.2.1": 4, "3.2.2": 2, "3.3.2": 1,
    "4.1": 2, "4.1.1.2": 1, "4.1.2.1": 3, "4.1.2.2": 1, "4.1.2.3": 1, "4.1.3": 2, "4.1.4": 2,
    "4.2": 11, "4.3": 2, "4.4": 2, "4.5": 1, "4.6": 3, "4.6.1": 1, "4.7.1": 1, "4.7.3": 1,
    "5.1": 5, "5.2": 5, "5.3": 3, "5.4.1": 27, "5.4.2": 8, "5.4.3": 27, "5.4.4": 30, "5.4.5": 10,
    "6": 1, "6.1": 1, "6.2": 1, "6.3": 1, "6.4": 2, "6.5": 2, "6.6": 1, "6.7": 1, "6.8": 1, "6.9": 1, "6.10": 2, "6.11": 1, "6.12": 2, "6.13": 1,
    "6.14": 2, "7.1": 5, "7.2": 2, "7.4": 1, "7.4.2": 2, "7.5": 1,
}  # fmt: skip
"""How many sentences with MUST, SHOULD, REQUIRED or SHALL each section has."""

_ATTRIBUTE = "test_5_4_each_attribute"
_CLEAR = "test_5_4_what_must_not_be_hidden_never_is"
_LISTS = "test_6_without_a_required_avp_a_message_is_malformed test_6_nothing_is_sent_without_a_required_avp"

# fmt: off
DEMANDS = (
    # --- 3 ------------------------------------------------------------------------------------------------------------------------
    Demand("3", "An L2TP session MUST be established before L2TP can begin to forward session frames",
           "test_3_a_session_must_be_established_before_frames_are_forwarded tunnel/test_task.py::test_a_link_runs_while_its_session_is_up"),
    Demand("3.2.1", "The T bit MUST be set to 1",
           "test_3_2_1_every_message_of_ours_has_ver_3_and_the_bits_that_must_be_1 test_3_2_1_the_t_l_and_s_bits_must_be_1_and_ver_3"),
    Demand("3.2.1", "The L and S bits MUST be set to 1",
           "test_3_2_1_every_message_of_ours_has_ver_3_and_the_bits_that_must_be_1 test_3_2_1_the_t_l_and_s_bits_must_be_1_and_ver_3"),
    Demand("3.2.1", "All reserved bits MUST be set to 0 on outgoing messages and ignored on incoming messages",
           "test_3_2_1_reserved_bits_must_be_0_on_outgoing_messages test_3_2_1_reserved_bits_must_be_ignored_on_incoming_messages"),
    Demand("3.2.1", "this field MUST be set to 3 for all messages",
           "test_3_2_1_layout test_3_2_1_other_versions_are_dropped_without_a_word"),
    Demand("3.2.2", "The Session Header MUST provide (1) a method of distinguishing traffic among multiple L2TP data sessions",
           "wire/test_data3.py::test_over_udp test_4_1_2_1_over_udp_the_t_bit_clear_makes_a_data_message"),
    Demand("3.2.2", "Each type of encapsulating PSN MUST define its own session header",
           why="it is said of documents: UDP and IP have theirs"),
    Demand("3.3.2", "the recipient of a StopCCN MUST send an ACK message to acknowledge receipt",
           "test_3_3_2_the_recipient_of_a_stopccn_must_ack_it_for_a_full_cycle"),

    # --- 4.1 ----------------------------------------------------------------------------------------------------------------------
    Demand("4.1", "L2TPv3 implementations MUST support L2TP over IP and SHOULD support L2TP over UDP",
           "test_4_1_l2tp_over_ip_must_be_supported_and_over_udp_should_be test_pseudowires.py::test_dynamic"),
    Demand("4.1", "The Cookie MUST be set to the configured or signaled random value for this session",
           "test_5_4_4_cookies_of_each_size kernel/test_tuntap.py::test_frames_both_ways test_pseudowires.py::test_static"),
    Demand("4.1.1.2", "even with an empty password field, provides for a sufficient packet integrity check and SHOULD always be enabled",
           "test_4_1_1_2_over_ip_a_digest_without_a_secret_should_always_be_enabled test_4_1_1_2_unless_the_operator_wants_none"),
    Demand("4.1.2.1", "The T bit MUST be set to 0, indicating that this is a data message",
           "wire/test_data3.py::test_over_udp test_4_1_2_1_over_udp_the_t_bit_clear_makes_a_data_message"),
    Demand("4.1.2.1", "All reserved values MUST be set to 0 on outgoing messages and ignored on incoming messages",
           "wire/test_data3.py::test_over_udp test_4_1_2_1_over_udp_the_t_bit_clear_makes_a_data_message"),
    Demand("4.1.2.1", "The Ver field MUST be set to 3",
           "wire/test_data3.py::test_over_udp test_4_1_2_1_ver_is_inspected_first"),
    Demand("4.1.2.2", "control messages MUST be sent as UDP datagrams using the registered UDP port 1701",
           "test_4_1_2_2_control_messages_must_go_to_the_registered_port"),
    Demand("4.1.2.2", "must use these same UDP ports",
           "tunnel/test_core.py::test_the_answer_may_come_from_another_port tunnel/test_core.py::test_addresses_are_static_once_known"),
    Demand("4.1.2.3", "UDP checksums MUST be enabled for L2TP control messages",
           "test_4_1_2_3_udp_checksums_must_be_enabled_for_control_messages "
           "tunnel/test_port.py::test_data_without_checksums_and_control_messages_with_them"),
    Demand("4.1.3", "IPsec [RFC2401] MUST be made available to secure the L2TP traffic",
           why="the system's IPsec does it, for whichever packets the operator wants"),
    Demand("4.1.3", "implementations MUST follow the same recommendation",
           why="nothing of ours stands in the way of IPsec for the port and the protocol"),
    Demand("4.1.4", "the Generic Packet Tunneling specification [RFC2473], Section 7.1 SHOULD be followed",
           "kernel/test_tuntap.py::test_mtu",
           why="the interface has the size that fits the path, so the system sends Packet Too Big by itself"),
    Demand("4.1.4", "An implementation MUST implement at least one of the methods described in this section for managing mismatched MTUs",
           "kernel/test_tuntap.py::test_mtu kernel/test_overhead.py::test_as_linux_counts"),

    # --- 4.2 to 4.7 ---------------------------------------------------------------------------------------------------------------
    Demand("4.2", "receipt of duplicate messages MUST be acknowledged", "test_4_2_duplicates_must_be_acknowledged"),
    Demand("4.2", "Nr SHOULD be sanity-checked before flushing the retransmit queue",
           "test_4_2_nr_should_be_sanity_checked_before_flushing_the_retransmit_queue"),
    Demand("4.2", "a recommended default is 1 second but SHOULD be configurable",
           "test_4_2_the_first_interval_should_be_configurable"),
    Demand("4.2", "the Nr value MUST be updated with the sequence number of the next expected message",
           "test_4_2_a_retransmission_has_the_same_ns_and_the_newest_nr"),
    Demand("4.2", "Each subsequent retransmission of a message MUST employ an exponential backoff interval",
           "test_4_2_exponential_backoff_up_to_8_seconds_then_all_must_be_cleared"),
    Demand("4.2", "This cap SHOULD be no less than 8 seconds per retransmission",
           "test_4_2_exponential_backoff_up_to_8_seconds_then_all_must_be_cleared "
           "tunnel/test_channel.py::test_settings_that_the_rfc_forbids_are_refused"),
    Demand("4.2", "a recommended default is 10, but MUST be configurable",
           "test_4_2_the_connection_and_all_its_sessions_must_be_cleared",
           why="the default is that of version 2, five"),
    Demand("4.2", "the state and reliable delivery mechanisms MUST be maintained and operated for the full retransmission interval",
           "test_7_1_reliable_delivery_must_be_allowed_to_run_before_the_connection_is_destroyed"),
    Demand("4.2", "Each peer MUST limit the number of unacknowledged messages it will send",
           "test_4_2_the_receive_window_of_the_peer_must_not_be_overrun"),
    Demand("4.2", "a slow start and congestion avoidance window adjustment procedure SHOULD be utilized",
           "conformance/rfc2661/test_appendix_a.py::test_congestion_saves_half_of_cwnd_in_ssthresh_and_reenters_slow_start"),
    Demand("4.2", "MUST NOT actively delay acknowledgment of messages", "test_4_2_acknowledgements_are_not_delayed"),
    Demand("4.3", "At least one shared secret (password) MUST exist between communicating L2TP nodes",
           "test_4_3_the_secret_decides test_4_3_a_peer_that_authenticates_is_refused_where_we_do_not"),
    Demand("4.3", "the receiver of the message MUST respond with a Message Digest AVP in all subsequent messages sent",
           "test_4_3_with_a_secret_all_messages_carry_a_right_digest test_4_3_a_peer_that_authenticates_is_refused_where_we_do_not "
           "test_4_3_the_refusal_of_a_request_that_was_signed_is_signed"),
    Demand("4.3", "it should be assumed that the message has been corrupted in transit",
           "test_4_3_without_authentication_an_invalid_digest_drops_the_message"),
    Demand("4.4", "Periodic keepalive for the control connection MUST be implemented by sending a Hello",
           "test_4_4_a_hello_must_be_sent_after_a_silence test_4_4_the_recommended_default_is_60_seconds"),
    Demand("4.4", "MUST employ a jittered timer mechanism to prevent grouping of Hello messages",
           "test_4_4_hellos_of_several_connections_must_be_jittered"),
    Demand("4.5", "Any received data packets that contain invalid Session IDs or associated Cookie values MUST be dropped",
           "kernel/test_tuntap.py::test_packets_that_are_not_ours kernel/test_carriage.py::test_wrong_cookies "
           "test_pseudowires.py::test_wrong_cookie"),
    Demand("4.6", "The Default L2-Specific Sublayer SHOULD be used by a given PW type",
           "test_5_4_4_the_sublayer_that_the_peer_asks_for_must_be_in_our_data_messages"),
    Demand("4.6", "the Sequence Number contents are undefined and MUST be ignored by the receiver",
           "wire/test_data3.py::test_the_sublayer"),
    Demand("4.6", "If the number in this field is valid, the S bit MUST be set to 1",
           "wire/test_data3.py::test_octets"),
    Demand("4.6.1", "an implementation SHOULD utilize a method that is resilient to temporary dropouts",
           "kernel/test_reorder.py::test_half_the_numbers_are_new kernel/test_reorder.py::test_a_peer_that_begins_anew"),
    Demand("4.7.1", "L2TPv3 over UDP with automatic fallback (see Section 4.7.3) MUST be used",
           "config/test_contradictions.py::test_told test_4_7_3_an_answer_of_ver_2_goes_on_in_version_2"),
    Demand("4.7.3", "it must be assumed that the peer implementation is L2TPv2-only",
           "test_4_7_3_an_answer_of_ver_2_goes_on_in_version_2"),
    Demand("4.7.3", "An L2TPv3-only implementation MUST ignore all L2TPv2 AVPs",
           "test_4_7_3_all_must_be_liberal_in_accepting_avps_of_version_2_in_an_sccrq"),

    # --- 5.1 to 5.3 ---------------------------------------------------------------------------------------------------------------
    Demand("5.1", "Reserved bits MUST be set to 0 when sent and ignored upon receipt",
           f"{_ATTRIBUTE} test_5_1_reserved_bits_must_be_ignored_upon_receipt test_5_1_reserved_bits_of_the_message_type_are_ignored_too"),
    Demand("5.1", "The M bit of a given AVP MUST only be inspected and acted upon if the AVP is unrecognized",
           "test_5_2_the_m_bit_of_a_recognized_avp_is_of_no_consequence test_5_1_and_5_2_neither_the_m_bit_nor_reserved_bits_make_an_ack_a_message"),
    Demand("5.1", "vendor- specific AVPs with a 32-bit Vendor ID MUST be encapsulated in the following manner",
           "test_5_1_an_extended_vendor_id_may_occur_many_times"),
    Demand("5.1", "The 16-bit Vendor ID MUST be 0", "test_5_1_an_extended_vendor_id_may_occur_many_times"),
    Demand("5.1", "The M bit for this AVP MUST be set to 0", _ATTRIBUTE),
    Demand("5.2", "the session or control connection associated with the control message containing the AVP MUST be shut down",
           "test_5_2_the_session_must_be_issued_a_cdn test_5_2_the_control_connection_must_be_issued_a_stopccn"),
    Demand("5.2", "then the session MUST be issued a CDN with a Result Code of 2 and Error Code of 8",
           "test_5_2_the_session_must_be_issued_a_cdn"),
    Demand("5.2", "Control Connection MUST be issued a StopCCN with Result Code of 2 and Error Code of 8",
           "test_5_2_the_control_connection_must_be_issued_a_stopccn"),
    Demand("5.2", "If the M bit is not set on an unrecognized AVP, the AVP MUST be ignored when received",
           "test_5_2_without_the_m_bit_it_must_be_ignored"),
    Demand("5.2", "(as all AVPs defined in this document MUST be for a compliant L2TPv3 specification)",
           "test_5_4_the_table_is_complete"),
    Demand("5.2", "In no case shall a receiver of", "test_5_2_the_m_bit_of_a_recognized_avp_is_of_no_consequence"),
    Demand("5.3", "The H bit MUST only be set if (1) a shared secret exists",
           "test_5_3_the_h_bit_must_only_be_set_with_a_secret_and_authentication"),
    Demand("5.3", "MUST precede the first AVP having an H bit of 1",
           "test_5_3_at_least_one_random_vector_must_precede_what_we_hide"),
    Demand("5.3", "a new Random Vector AVP MUST be placed in the control message before the first AVP to which it applies",
           "test_5_3_a_new_random_vector_applies_to_what_follows_it "
           "wire/test_messages.py::test_the_same_attribute_twice_is_hidden_under_two_vectors"),

    # --- 5.4.1, 5.4.2 -------------------------------------------------------------------------------------------------------------
    Demand("5.4.1", "The Message Type AVP MUST be the first AVP in a message",
           "test_5_4_1_the_message_type_must_be_first_and_in_clear"),
    Demand("5.4.1", "the Message Type is unknown to the implementation, the control connection MUST be cleared",
           "test_7_1_an_unknown_mandatory_message_type_clears_the_connection"),
    Demand("5.4.1", "The M bit MUST be set to 1 for all message types defined in this document",
           "test_5_4_1_the_m_bit_must_be_1_on_all_message_types_of_this_document"),
    Demand("5.4.1", "The Message Type AVP MUST still be the first AVP in the control message",
           "wire/test_messages3.py::test_a_message_type_of_a_vendor_is_unknown wire/test_messages3.py::test_no_message_type_first_is_malformed"),
    Demand("5.4.1", "Digest Type 0 (HMAC-MD5) MUST be supported, while Digest Type 1 (HMAC-SHA-1) SHOULD be supported",
           "test_5_4_1_both_digest_types_are_understood_whichever_we_send test_4_3_with_a_secret_all_messages_carry_a_right_digest"),
    Demand("5.4.1", "For Digest Type 0 (HMAC-MD5), the length of the digest MUST be 16",
           "test_5_4_1_the_digest_covers_local_nonce_remote_nonce_and_the_message"),
    Demand("5.4.1", "For Digest Type 1 (HMAC-SHA-1) the length of the digest MUST be 20 bytes",
           "test_5_4_1_the_digest_covers_local_nonce_remote_nonce_and_the_message"),
    Demand("5.4.1", "at least one Message Digest AVP MUST be present in all messages and MUST be placed immediately after the Message Type AVP",
           "test_4_3_with_a_secret_all_messages_carry_a_right_digest test_5_4_1_a_digest_anywhere_else_is_none"),
    Demand("5.4.1", "A second Message Digest AVP MAY be present in a message and MUST be placed directly after the first",
           "test_5_4_1_two_digests_are_computed_with_both_of_them_zero"),
    Demand("5.4.1", "the Message Digest AVP MUST be present within the control message with the Digest Type set to its proper value",
           "test_5_4_1_the_digest_covers_local_nonce_remote_nonce_and_the_message"),
    Demand("5.4.1", "the contents of the Message Digest AVP MUST be compared against the expected digest value",
           "test_4_3_any_change_of_header_or_body_is_noticed test_4_3_a_message_of_another_connection_is_dropped"),
    Demand("5.4.1", "MUST be performed before utilizing any information contained within the control message",
           "test_5_4_1_if_the_calculation_fails_the_message_must_be_dropped test_4_3_what_was_dropped_is_taken_when_it_comes_rightly_signed"),
    Demand("5.4.1", "If the calculation fails, the message MUST be dropped",
           "test_5_4_1_if_the_calculation_fails_the_message_must_be_dropped test_5_4_1_a_request_with_a_wrong_digest_must_be_dropped"),
    Demand("5.4.1", "the message MUST be accepted if either Message Digest is valid",
           "test_5_4_1_one_right_digest_of_two_must_be_enough"),
    Demand("5.4.1", "each (separately) MUST be used for calculating a digest",
           "test_5_4_1_two_secrets_are_accepted_by_the_receiver_of_one_digest",
           why="no configuration has two secrets for a peer: only the arithmetic knows them"),
    Demand("5.4.1", "the Value field for both of the Message Digest AVPs MUST be set to zero",
           "test_5_4_1_two_digests_are_computed_with_both_of_them_zero"),
    Demand("5.4.1", "This AVP MUST NOT be hidden (the H bit MUST be 0)",
           f"{_CLEAR} test_5_4_1_the_digest_must_not_be_hidden", times=4),
    Demand("5.4.1", "The M bit for this AVP SHOULD be set to 1", f"{_ATTRIBUTE} {_CLEAR}", times=3),
    Demand("5.4.1", "MUST contain a cryptographically random value",
           "test_5_4_1_the_nonce_must_be_present_in_sccrq_and_sccrp test_5_4_1_a_random_vector_is_another_one_in_each_message "
           "test_5_4_1_nonces_and_vectors_are_the_systems_random_octets", times=2),
    Demand("5.4.1", "this AVP MUST be present in the SCCRQ and SCCRP messages",
           "test_5_4_1_the_nonce_must_be_present_in_sccrq_and_sccrp test_4_3_with_a_secret_an_sccrp_without_a_nonce_is_dropped"),
    Demand("5.4.1", "at least one Random Vector AVP MUST precede the first AVP with the H bit set",
           "test_5_3_at_least_one_random_vector_must_precede_what_we_hide test_5_3_a_hidden_avp_needs_a_random_vector_before_it"),
    Demand("5.4.2", "Human-readable text in all error messages MUST be provided in the UTF-8 charset",
           "test_5_4_2_error_messages_are_in_utf_8"),
    Demand("5.4.2", "This AVP MUST NOT be hidden (the H bit MUST be 0)", _CLEAR),
    Demand("5.4.2", "The M bit for this AVP SHOULD be set to 1", _ATTRIBUTE),
    Demand("5.4.2", "The Error Message SHOULD contain the attribute of the offending AVP",
           "test_5_2_the_control_connection_must_be_issued_a_stopccn"),
    Demand("5.4.2", "The Error Message MUST contain a comma-separated list of addresses",
           why="we suggest no other router, and then error 7 is the one to use"),
    Demand("5.4.2", "the delimiter between addresses MUST be precisely a single comma and a single space",
           why="the same"),
    Demand("5.4.2", 'each literal address MUST be enclosed in "[" and "]" characters', why="the same"),
    Demand("5.4.2", "When a General Error Code of 6 is used, additional information about the error SHOULD be included",
           why="we use 6 in version 2 alone, and there with a text (RFC 2661 4.4.2)"),

    # --- 5.4.3 --------------------------------------------------------------------------------------------------------------------
    Demand("5.4.3", 'The lower value "wins", and the "loser" MUST discard its control connection',
           "test_5_4_3_the_lower_tie_breaker_wins"),
    Demand("5.4.3", "A StopCCN SHOULD be sent by the winner as an explicit rejection for the losing SCCRQ",
           "test_5_4_3_the_lower_tie_breaker_wins"),
    Demand("5.4.3", "both sides MUST discard their control connections and restart control connection negotiation",
           "test_5_4_3_with_equal_tie_breakers_both_must_discard_and_restart_with_another"),
    Demand("5.4.3", "For L2TP over IP, this MUST be accomplished via the Router ID AVP",
           "test_6_1_and_6_2_what_we_say_of_ourselves",
           why="whom we call has told us no Router ID yet when its own request comes, and were one known, anybody who claims it could end "
               "our call: a tie is with the address that we call; for peers that do it otherwise, ours is in each SCCRQ"),
    Demand("5.4.3", "This AVP MUST NOT be hidden (the H bit MUST be 0)", _CLEAR, times=4),
    Demand("5.4.3", "The M bit for this AVP SHOULD be set to", _ATTRIBUTE, times=8),
    Demand("5.4.3", "The Host Name is of arbitrary length, but MUST be at least 1 octet",
           "test_5_4_3_a_host_name_must_have_an_octet"),
    Demand("5.4.3", "The Host Name AVP and/or Router ID AVP MUST be used to identify an LCCE",
           "test_3_3_the_peer_is_identified_while_the_connection_is_established test_6_1_and_6_2_what_we_say_of_ourselves", times=2),
    Demand("5.4.3", "Implementations MUST NOT assume that Router Identifier is a valid IP address",
           "test_5_4_3_a_router_id_is_no_address"),
    Demand("5.4.3", "Human-readable text for this AVP MUST be provided in the US-ASCII charset",
           "test_5_4_3_our_vendor_name_must_be_ascii"),
    Demand("5.4.3", "the Control Connection ID specified in the AVP MUST be included in the Control Connection ID field",
           "test_5_4_3_ids_have_32_bits_and_the_header_says_0_before_one_is_known"),
    Demand("5.4.3", "all control messages MUST be sent to that peer with a Control Connection ID value of 0",
           "test_5_4_3_ids_have_32_bits_and_the_header_says_0_before_one_is_known"),
    Demand("5.4.3", "the zero value MUST NOT be sent as an Assigned Control Connection ID value",
           "test_5_4_3_an_assigned_id_of_0_is_refused test_5_4_an_assigned_id_must_not_be_zero test_ids.py::test_zero_is_never_allocated"),
    Demand("5.4.3", "MUST be sent as the Assigned Control Connection ID AVP in the StopCCN",
           "test_5_4_3_a_stopccn_before_any_sccrp_must_name_the_id_of_our_sccrq"),
    Demand("5.4.3", "If absent, the peer must assume a Window Size of 4",
           "test_5_4_3_without_a_receive_window_size_the_window_is_4"),
    Demand("5.4.3", "the language in which human- readable messages it sends SHOULD be composed",
           why="our messages are in the default language, which MUST be used where another is not supported"),
    Demand("5.4.3", "the default language [RFC2277] MUST be used for all internationalized strings sent by the peer",
           "test_5_4_2_error_messages_are_in_utf_8",
           why="all texts of ours are English"),

    # --- 5.4.4, 5.4.5 -------------------------------------------------------------------------------------------------------------
    Demand("5.4.4", "The remote LCCE MUST then send all data packets associated with this session using this value",
           "test_5_4_4_data_packets_must_be_sent_to_the_local_session_id_of_the_peer"),
    Demand("5.4.4", "the remote LCCE MUST echo this value in the Remote Session ID AVP",
           "test_5_4_4_the_local_session_id_must_be_echoed_in_all_later_messages"),
    Demand("5.4.4", "The M bit for this AVP SHOULD be", _ATTRIBUTE, times=12),
    Demand("5.4.4", "The Remote Session ID AVP MUST be present in all session-level control messages", _LISTS),
    Demand("5.4.4", "the value of the Remote Session ID AVP MUST be set to zero",
           "test_5_4_4_the_remote_session_id_must_be_zero_until_the_peer_has_told_one"),
    Demand("5.4.4", "Additionally, the Local Session ID AVP (sent in a previous control message for this session) MUST be included",
           "test_5_4_4_the_remote_session_id_must_be_zero_until_the_peer_has_told_one"),
    Demand("5.4.4", "The peer must then use the Local Session ID AVP to perform a reverse lookup",
           "test_5_4_4_a_message_without_our_id_finds_its_session_by_a_reverse_lookup test_5_4_4_a_reverse_lookup_finds_no_other_session"),
    Demand("5.4.4", "All data messages sent to a peer MUST use the Assigned Cookie sent by the peer in this AVP",
           "test_5_4_4_cookies_of_each_size kernel/test_tuntap.py::test_frames_both_ways"),
    Demand("5.4.4", "MUST utilize the Router ID AVP and Remote End ID AVP to associate a circuit to an L2TP session",
           "test_5_4_4_the_remote_end_id_says_to_which_circuit_a_session_belongs test_5_4_4_the_remote_end_id_selects_the_profile",
           why="whose circuits are meant follows from the table [peer] by address, Host Name and secret, since anybody can claim a Router ID"),
    Demand("5.4.4", 'The LCCE with the lower value "wins" and MUST send a CDN with result code set to 13',
           "test_5_4_4_the_lower_tie_breaker_wins_and_must_send_a_cdn"),
    Demand("5.4.4", "both sides MUST discard their sessions and restart session negotiation with new random tie breaker values",
           "test_5_4_4_with_equal_tie_breakers_both_sides_must_discard_their_sessions"),
    Demand("5.4.4", "If neither side issues a tie breaker, then both sides MUST tear down the session",
           "test_5_4_4_if_neither_side_issues_a_tie_breaker_both_must_tear_down"),
    Demand("5.4.4", "This AVP MUST NOT be hidden (the H bit MUST be 0)", _CLEAR),
    Demand("5.4.4", "A peer MUST NOT request an incoming or outgoing call with a PW Type AVP specifying a value not advertised",
           "test_5_4_4_no_pseudowire_must_be_asked_for_that_the_peer_did_not_offer"),
    Demand("5.4.4", "Attempts to do so MUST result in the call being rejected via a CDN with the Result Code set to 14",
           "test_5_4_4_a_pseudowire_type_that_we_did_not_offer_must_be_refused_with_14"),
    Demand("5.4.4", "the receiving LCCE MUST include the identified L2-Specific Sublayer in its outgoing data messages",
           "test_5_4_4_the_sublayer_that_the_peer_asks_for_must_be_in_our_data_messages kernel/test_carriage.py::test_heads_of_version_3"),
    Demand("5.4.4", "All traffic that can be classified as IP MUST be sent with no sequencing",
           "test_5_4_4_packets_must_be_sequenced_when_the_peer_requires_it", why="nothing is classified, and then the next sentence binds"),
    Demand("5.4.4", "all packets MUST be provided with sequence numbers",
           "test_5_4_4_packets_must_be_sequenced_when_the_peer_requires_it"),
    Demand("5.4.4", "If a Data Sequencing Level of 2 is specified, all traffic MUST be sequenced",
           "test_5_4_4_packets_must_be_sequenced_when_the_peer_requires_it test_5_4_4_sequencing_that_iccn_asks_for_begins_then"),
    Demand("5.4.4", "the session MUST be disconnected with a Result Code of 15",
           "test_5_4_4_sequencing_without_a_sublayer_must_be_disconnected_with_15"),
    Demand("5.4.5", "Links that have a similar mechanism available (e.g., Frame Relay) MUST map the setting of this bit",
           why="Ethernet, VLAN and PPP have no such mechanism"),
    Demand("5.4.5", "the New bit SHOULD still be set the first time the L2TP session is established",
           "test_5_4_5_the_circuit_status_must_be_advertised_in_requests_and_answers"),
    Demand("5.4.5", "Reserved bits MUST be set to 0 when sending and ignored upon receipt",
           "test_5_4_5_the_circuit_status_must_be_advertised_in_requests_and_answers "
           "test_5_4_5_the_status_of_the_peer_is_kept_and_reserved_bits_are_ignored"),
    Demand("5.4.5", "Each PW-specific companion document MUST specify precisely how this AVP is translated",
           why="it is said of documents"),
    Demand("5.4.5", "all data traffic for that session MUST cease (or not begin)",
           "test_5_4_5_all_data_traffic_must_not_begin_towards_a_circuit_that_is_not_active "
           "test_5_4_5_all_data_traffic_must_cease_until_the_circuit_is_advertised_as_active "
           "kernel/test_tuntap.py::test_a_peer_that_wants_nothing_gets_nothing",
           why="where Linux itself carries PPP it goes on: its frames pass no queue of ours, and a PPP link has an end of its own"),
    Demand("5.4.5", "The Circuit Status MUST be advertised by this AVP in ICRQ, ICRP, OCRQ, and OCRP messages",
           "test_5_4_5_the_circuit_status_must_be_advertised_in_requests_and_answers"),
    Demand("5.4.5", "any new PW-specific AVPs MUST be defined in a separate document", why="it is said of documents"),
    Demand("5.4.5", "The M bit for this AVP SHOULD be set to", _ATTRIBUTE, times=2),
    Demand("5.4.5", "Reserved data MUST be zero on sending and ignored upon receipt",
           f"{_ATTRIBUTE} wire/test_values.py::test_reserved_fields_are_ignored"),

    # --- 6 ------------------------------------------------------------------------------------------------------------------------
    Demand("6", 'Any "reserved" or "empty" fields MUST be sent as 0 values', _ATTRIBUTE),
    *(Demand(f"6.{number}", f"MUST be present in the {name}", _LISTS) for number, name in enumerate(
        ("SCCRQ", "SCCRP", "SCCCN", "StopCCN", "HELLO", "ICRQ", "ICRP", "ICCN", "OCRQ", "OCRP", "OCCN", "CDN", "WEN", "SLI"), 1)),
    Demand("6.4", "the Assigned Control Connection ID MUST be present if the StopCCN is sent after an SCCRQ or SCCRP",
           "test_6_4_the_stopccn_must_name_our_id_once_we_have_told_it"),
    Demand("6.5", "The Session ID in a HELLO message MUST be 0",
           "test_3_2_1_layout", why="version 3 has no such field in the header of a control message"),
    Demand("6.10", "Data MUST NOT be forwarded until the OCCN is received",
           "test_6_10_data_must_not_be_forwarded_until_the_occn_is_received"),
    Demand("6.12", "The peer MUST clean up any resources, and does not send back any indication",
           "test_7_3_and_7_4_calls test_3_4_3_a_cdn_tears_down_one_session"),
    Demand("6.14", "an SLI message SHOULD be sent to indicate this event",
           "test_5_4_5_a_change_of_our_circuit_is_told_by_sli"),

    # --- 7 ------------------------------------------------------------------------------------------------------------------------
    Demand("7.1", "Receipt of an invalid or unrecoverable malformed control message SHOULD be logged",
           "test_7_1_a_message_in_the_wrong_state_clears_the_connection_and_should_be_logged"),
    Demand("7.1", "A control message with a malformed header MUST be discarded",
           "test_7_1_a_control_message_with_a_malformed_header_must_be_discarded"),
    Demand("7.1", "an attempt to inspect the M bit SHOULD be made",
           "test_7_1_a_malformed_avp_without_the_m_bit_must_be_ignored"),
    Demand("7.1", "as with an unrecognized AVP, the associated session or control connection MUST be shut down",
           "test_7_1_a_malformed_avp_with_the_m_bit_shuts_down_the_session_or_connection test_7_1_a_wrong_length_with_the_m_bit_is_fatal"),
    Demand("7.1", "If the M bit is inspected and is found to be 0, the AVP MUST be ignored",
           "test_7_1_a_malformed_avp_without_the_m_bit_must_be_ignored test_7_1_a_connect_speed_of_4_octets_without_the_m_bit_is_ignored"),
    Demand("7.1", "the reliable delivery mechanism must be allowed to run",
           "test_7_1_reliable_delivery_must_be_allowed_to_run_before_the_connection_is_destroyed"),
    Demand("7.2", "the originator MUST send a StopCCN and clean up the control connection",
           "test_7_2_a_local_termination_must_send_a_stopccn_which_ends_the_sessions_too test_7_2_control_connection",
           why="but to a message of no connection nothing is said, or it could be forged to reflect (`tunnel/test_endpoint.py`)"),
    Demand("7.2", "If the originator receives a StopCCN, it MUST also clean up the control connection",
           "test_7_2_control_connection test_3_3_2_one_stopccn_tears_down_the_connection_and_all_its_sessions"),
    Demand("7.4", "The LAC MUST respond to the OCRQ with an OCRP", "test_7_3_and_7_4_calls"),
    Demand("7.4.2", "the call MUST be released via appropriate mechanisms, and the session cleaned up",
           "test_7_3_and_7_4_calls"),
    Demand("7.4.2", "the LAC MUST send a CDN to the peer and return to idle state", "test_7_3_and_7_4_calls"),
    Demand("7.5", "The sender of this message SHOULD wait a full control message retransmission cycle",
           "test_7_1_reliable_delivery_must_be_allowed_to_run_before_the_connection_is_destroyed"),
)
# fmt: on

BESIDES = """
test_3_whose_iccn_or_occn_connects_a_call_needs_no_leave_to_forward
test_3_2_1_the_first_message_has_control_connection_id_0
test_3_2_1_ns_begins_at_zero_and_counts_each_message
test_3_2_1_what_follows_the_length_is_no_part_of_the_message
test_3_2_1_the_length_counts_from_the_t_bit
test_3_3_1_a_three_message_exchange_establishes_the_control_connection
test_3_4_sessions_wait_for_the_control_connection
test_3_4_a_session_that_nobody_answers_ends
test_3_4_1_three_messages_establish_an_incoming_call
test_3_4_2_three_messages_establish_an_outgoing_call
test_3_4_3_after_the_last_session_the_connection_may_be_torn_down
test_4_1_1_2_over_ip_32_bits_of_zeros_stand_before_the_same_header
test_4_2_the_ns_of_an_ack_does_not_update_nr
test_4_2_ns_is_not_incremented_after_an_ack
test_4_2_messages_are_delivered_in_order_and_without_duplication
test_4_2_what_only_acknowledges_is_an_explicit_ack
test_4_3_without_a_secret_neither_nonce_nor_digest_is_sent_over_udp
test_4_3_with_a_secret_a_request_without_a_digest_is_refused
test_4_3_a_caller_that_gives_up_before_our_sccrp_is_believed
test_4_3_a_request_with_a_nonce_of_ours_is_refused
test_4_3_without_a_secret_the_digest_is_an_integrity_check
test_4_3_no_other_message_may_leave_a_nonce_out
test_4_3_a_refusal_of_one_that_knows_the_secret_ends_our_request
test_4_3_a_reflected_request_is_not_believed
test_4_3_an_old_request_of_the_peer_is_not_believed_while_we_ask
test_4_3_our_stopccn_before_any_sccrp_is_signed_with_what_we_know
test_4_3_a_message_without_a_digest_is_told_from_one_with_a_wrong_digest
test_4_4_hello_of_the_peer_is_acknowledged_and_changes_nothing
test_4_4_data_is_a_sign_of_life_too
test_4_4_a_hello_that_is_not_reliably_delivered_declares_the_connection_down
test_4_7_2_one_port_serves_both_versions
test_4_7_2_a_connection_takes_no_packet_of_the_other_version
test_4_7_3_with_a_secret_an_offer_of_version_3_that_is_not_signed_falls_back
test_4_7_3_a_request_for_either_version_is_answered_in_version_3
test_4_7_3_the_request_has_ver_2_and_all_avps_of_both_versions
test_4_7_3_with_a_secret_an_unsigned_answer_of_ver_3_is_no_answer
test_4_7_3_a_request_for_either_version_gets_the_one_that_we_speak
test_4_7_3_a_session_that_waited_is_asked_for_in_the_words_of_version_3
test_4_7_3_a_refusal_of_either_version_is_understood
test_4_7_3_a_session_that_version_2_cannot_carry_is_not_asked_for
test_4_7_3_with_a_secret_version_2_has_to_prove_that_it_knows_it
test_4_7_3_no_fall_back_once_version_3_was_chosen
test_4_7_3_in_an_sccrq_of_version_2_the_m_bit_is_clear
test_4_7_3_an_answer_of_ver_3_goes_on_in_version_3
test_5_1_a_vendor_avp_of_16_bits_is_kept_octet_for_octet
test_5_2_an_unrecognized_avp_without_the_m_bit_must_be_ignored
test_5_2_an_unrecognized_avp_with_the_m_bit_ends_the_session_or_the_control_connection
test_5_3_hidden_avps_of_the_peer_are_read
test_5_3_a_hidden_avp_is_read_with_the_key_derived_from_the_secret
test_5_3_what_is_hidden_is_hidden_with_the_derived_key
test_5_4_values_of_the_registries
test_5_4_1_an_unknown_digest_type_beside_a_good_digest_does_no_harm
test_5_4_1_the_receiver_reverses_the_nonces
test_5_4_1_the_sccrq_is_computed_without_nonces
test_5_4_2_a_session_that_is_not_up_in_time_ends_with_16
test_5_4_2_a_control_connection_that_is_not_up_in_time_ends_with_7
test_5_4_2_a_message_out_of_turn_ends_its_session_with_16
test_5_4_2_codes
test_5_4_2_a_version_that_we_do_not_speak_is_refused_in_its_own_words
test_5_4_2_a_message_out_of_turn_ends_its_connection_with_7
test_5_4_3_a_caller_that_gives_up_is_found_by_a_reverse_lookup
test_5_4_3_a_tie_breaker_is_sent_where_a_single_connection_is_wanted
test_5_4_4_a_session_id_must_not_be_zero
test_5_4_4_an_answer_to_no_session_is_refused_by_name
test_5_4_4_a_session_that_has_its_answer_is_no_tie_any_more
test_5_4_4_before_a_local_session_id_was_received_the_remote_session_id_is_zero
test_5_4_4_without_an_rx_connect_speed_the_connection_is_symmetric
test_5_4_4_a_cookie_is_random
test_5_4_4_a_cookie_has_0_32_or_64_bits
test_5_4_4_without_end_ids_there_is_nothing_to_tie
test_5_4_4_connect_speeds_have_64_bits
test_5_4_4_the_peer_gets_the_pseudowire_that_it_asks_for
test_5_4_4_another_answer_than_what_we_asked_for_is_taken_over_and_confirmed
test_5_4_4_every_type_that_is_offered_is_asked_for_by_its_number
test_5_4_4_a_sublayer_that_changes_its_mind_is_refused
test_5_4_4_without_a_cookie_none_is_in_the_data_packets
test_5_4_4_another_end_id_is_no_tie
test_5_4_4_the_loser_goes_on_with_the_session_of_the_peer
test_5_4_4_we_say_that_we_require_it
test_5_4_4_an_id_that_is_in_use_is_refused
test_5_4_4_serial_numbers_should_progressively_increase
test_5_4_4_an_unknown_sublayer_is_refused
test_5_4_5_a_circuit_that_went_down_while_the_session_was_set_up_is_told_afterwards
test_5_4_5_a_circuit_that_came_up_while_the_session_was_set_up_is_told_afterwards
test_5_4_5_numbers_and_silence_do_not_undo_each_other
test_6_what_must_be_present_is_enough_and_what_may_be_is_expected
test_6_what_is_sent_is_read_back_the_same
test_6_the_table_has_these_messages_and_no_others
test_6_4_a_stopccn_with_another_id_than_the_peers_is_somebody_elses
test_6_4_a_stopccn_may_leave_the_id_out
test_6_4_a_stopccn_of_one_that_never_assigned_an_id_still_ends_the_connection
test_6_12_a_cdn_of_one_that_never_assigned_an_id_still_ends_the_session
test_6_15_a_message_without_any_avp_is_no_message_to_decode
test_6_15_a_zlb_is_not_permitted_with_authentication
test_6_15_a_zlb_serves_the_same_function_without_authentication
test_7_1_a_message_without_a_required_avp_is_malformed
test_7_2_control_conn_open_event_to_waiting_sessions
test_7_3_1_and_7_4_1_idle_to_wait_control_conn
test_7_4_2_a_timer_that_expires_while_waiting_for_the_call_to_complete_sends_a_cdn
test_7_5_a_connection_without_sessions_may_stay_open
"""
"""Tests of what these sections say without such a word."""
