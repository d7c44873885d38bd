"""The attacks that we know of, and the test that tries each: holes that others had, and what L2TP and PPP invite to.

One row, one attack: where it is known from, what it was, and the tests by file and name, or why it does not apply. `test_attacks` holds the table complete and
its names true.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Attack:
    """One row; `reason` says why what is not tested does not apply."""

    text: str
    tests: tuple[str, ...] = ()
    reason: str = ""


def attack(text: str, *tests: str, reason: str = "") -> Attack:
    """Make a row."""
    return Attack(text=text, tests=tests, reason=reason)


WIRE = "wire/test_hostile.py::"
CORE = "hostile/test_core_attacks.py::"
OURS = "hostile/test_attacks.py::"
FLOODS = "hostile/test_floods.py::"
ENDPOINT = "tunnel/test_endpoint.py::"
FRAME = "ppp/test_frame.py::"
LCP = "ppp/test_lcp.py::"
CHAP = "ppp/test_chap.py::"
IPCP = "ppp/test_ipcp.py::"
RFC1661_4 = "conformance/rfc1661/test_section_4.py::"
RFC1661_5 = "conformance/rfc1661/test_section_5.py::"
RFC3931_4 = "conformance/rfc3931/test_section_4_3.py::"
RFC3931_7 = "conformance/rfc3931/test_section_4_7.py::"
DIGEST = "wire/test_digest3.py::"
GUARD = "tunnel/test_guard.py::"
PACKET = "radius/test_packet.py::"
EXCHANGE = "radius/test_exchange.py::"
DYNAUTH = "radius/test_dynauth.py::"
SERVER = "control/test_server.py::"
LOAD = "config/test_load.py::"
SCRIPTS = "test_scripts.py::"
FUZZ = "fuzz/test_fuzz.py::"

NO_PPPOE = "there is no PPPoE in this program"

VULNERABILITIES: Mapping[str, Attack] = {
    "CVE-2020-15173": attack(
        "accel-ppp: a string AVP shorter than its header, to a heap overflow before authentication",
        WIRE + "test_avp_length_below_its_header",
        WIRE + "test_avp_length_past_the_end",
        WIRE + "test_every_cut_of_a_message",
        CORE + "test_any_message_in_any_state_in_any_order",
    ),
    "accel-ppp-9554ce05": attack(
        "accel-ppp: the inner length of a hidden AVP comes out of the cipher, at random where the secret is wrong",
        WIRE + "test_hidden_inner_lengths",
        WIRE + "test_wrong_secret_is_no_exception",
        WIRE + "test_hidden_without_the_means",
        WIRE + "test_random_vector_late",
        WIRE + "test_random_vector_of_any_length",
        WIRE + "test_random_vector_repeated",
        CORE + "test_hidden_rubbish_never_raises",
    ),
    "accel-ppp-269": attack(
        "accel-ppp: numbers longer than the buffers that they were copied to",
        WIRE + "test_maximal_strings",
        OURS + "test_the_longest_names_and_numbers_pass_to_their_end",
        "radius/test_attributes.py::test_text_that_is_too_long_is_cut_and_octets_are_refused",
    ),
    "CVE-2020-7465": attack(
        "mpd5: a Q.931 Cause Code shorter than its fixed part",
        WIRE + "test_fixed_layouts_cut_short",
        WIRE + "test_every_size_of_every_attribute",
    ),
    "CVE-2020-7466": attack(
        "mpd5: a length inside a PPP authentication packet beyond the packet",
        FRAME + "test_a_packet_with_a_wrong_length_is_malformed",
        CHAP + "test_malformed_responses_are_discarded",
        "conformance/rfc1334/test_section_2.py::test_2_2_octets_outside_the_length_are_padding",
        "fuzz/test_links.py::test_a_short_run_finds_nothing",
    ),
    "mpd5-5.9_2": attack("mpd5: a crafted PPPoE discovery packet", reason=NO_PPPOE),
    "CVE-2008-3584": attack("NetBSD, accel-ppp: the length of a PPPoE tag", reason=NO_PPPOE),
    "CVE-2004-0649": attack(
        "l2tpd: the writer of packets overflows",
        "wire/test_messages.py::test_a_message_too_long_for_the_header_is_our_error",
        "wire/test_messages.py::test_hidden_values_are_padded_to_blocks_and_bounded",
    ),
    "CVE-2002-0873": attack(
        "l2tpd: a vendor's name overflows",
        WIRE + "test_maximal_strings",
        OURS + "test_the_longest_names_and_numbers_pass_to_their_end",
    ),
    "CVE-2002-0872": attack(
        "l2tpd: a random source that was never seeded, so that ids could be guessed",
        OURS + "test_ids_cannot_be_guessed",
        "test_ids.py::test_every_id_is_allocated_before_the_space_is_full",
    ),
    "xl2tpd-195": attack(
        "xl2tpd: state before the header is checked, so that junk leaks memory",
        OURS + "test_junk_at_the_listener_grows_nothing",
        CORE + "test_junk_grows_nothing",
        ENDPOINT + "test_junk_leaves_nothing_behind",
        FUZZ + "test_a_daemon_under_a_hail_forgets_it",
    ),
    "xl2tpd-57": attack(
        "xl2tpd: a line of the log for each bad packet",
        "test_flood.py::test_what_a_peer_provokes_is_said_a_few_times",
        OURS + "test_a_thousand_addresses_do_not_fill_the_log",
    ),
    "CVE-2006-5873": attack(
        "l2tpns: an oversize heartbeat of its cluster", reason="daemons do not talk to each other here"
    ),
    "CVE-2020-8597": attack(
        "pppd: a name in EAP",
        LCP + "test_eap_and_nonsense_are_naked",
        "conformance/rfc1994/test_section_2.py::test_3_eap_is_declined_in_favour_of_what_we_do",
    ),
    "CVE-2022-0982": attack(
        "accel-ppp: a line on the management port",
        SERVER + "test_a_line_without_end_closes_the_connection",
        SERVER + "test_garbage_is_answered_with_errors",
        SERVER + "test_half_a_line_may_wait_for_ever_and_hurts_nobody",
    ),
    "CVE-2022-24704": attack(
        "accel-ppp: a RADIUS attribute whose length does not fit its type",
        "radius/test_attributes.py::test_a_value_of_the_wrong_size_is_malformed",
        PACKET + "test_any_octets_are_a_packet_or_malformed",
        PACKET + "test_a_spoilt_answer_is_malformed",
    ),
    "CVE-2021-42054": attack(
        "accel-ppp: lengths of vendors' attributes; use after a connection went; messages in an odd order",
        PACKET + "test_a_vendors_attributes_are_taken_apart_and_put_together",
        PACKET + "test_any_octets_are_a_packet_or_malformed",
        SERVER + "test_a_client_may_vanish_at_any_moment",
        CORE + "test_any_message_in_any_state_in_any_order",
        "faults/test_cancelled.py::test_setting_up",
        "faults/test_cancelled.py::test_a_session_that_ends_at_any_moment",
    ),
    "CVE-2024-3596": attack(
        "RADIUS: an answer forged by a collision of MD5",
        PACKET + "test_an_unsigned_answer_to_a_login_is_not_believed",
        PACKET + "test_a_signed_answer_is_believed_and_one_with_a_wrong_signature_is_not",
        PACKET + "test_a_proxy_state_that_was_not_sent_gives_a_forgery_away",
    ),
    "CVE-2018-11574": attack(
        "pppd: long identifiers from RADIUS, hostile options, EAP-TLS passed by, callback",
        LCP + "test_all_other_options_are_rejected",
        LCP + "test_eap_and_nonsense_are_naked",
        PACKET + "test_a_packet_larger_than_any_is_malformed",
        OURS + "test_a_request_full_of_options_is_answered_within_the_mru",
    ),
    "CVE-2025-9615": attack(
        "NetworkManager-l2tp: files of another user are taken",
        LOAD + "test_a_secret_file_open_to_others_is_refused",
        LOAD + "test_warnings_tell_of_secrets_in_open_files_and_of_idle_peers",
        SCRIPTS + "test_a_script_belongs_to_root_or_to_the_daemon",
    ),
    "cisco-sa-20080924-l2tp": attack(
        "IOS: one packet restarts the router",
        ENDPOINT + "test_a_bug_while_dispatching_costs_a_datagram",
        FUZZ + "test_known_inputs_pass_every_decoder_and_every_state",
        FUZZ + "test_a_short_run_finds_nothing",
    ),
    "FreeBSD-D57383": attack(
        "FreeBSD: a length below the fixed header wraps",
        "wire/test_hostile.py::test_any_datagram",
        FRAME + "test_garbage_is_read_or_malformed",
        PACKET + "test_any_octets_are_a_packet_or_malformed",
    ),
    "tcpdump-43": attack(
        "tcpdump: an AVP of length 0 is read for ever",
        WIRE + "test_avp_length_below_its_header",
        WIRE + "test_work_is_linear",
    ),
    "linux-l2tp": attack(
        "Linux: holes of the kernel's own L2TP",
        reason="the kernel is its distributor's to repair; `-n` and `check` tell what it offers",
    ),
    "nethsecurity-1535": attack(
        "pppd: a long list of LCP options", OURS + "test_a_request_full_of_options_is_answered_within_the_mru"
    ),
    "accel-ppp-1.14-echo": attack(
        "accel-ppp: an Echo-Reply larger than the peer takes",
        RFC1661_5 + "test_an_echo_reply_never_exceeds_the_peers_mru",
    ),
}
"""Holes that other programs had."""

ATTACKS: Mapping[int, Attack] = {
    1: attack(
        "control packets of version 2 are spoofed by somebody who does not see any",
        CORE + "test_a_scan_of_all_tunnel_ids_tears_nothing_down",
        CORE + "test_a_scan_of_all_sequence_numbers_changes_nothing",
        CORE + "test_a_scan_of_all_sequence_numbers_with_the_right_nr_tears_nothing_down",
        CORE + "test_a_cdn_for_every_session_id_ends_only_what_it_names",
        CORE + "test_another_host_cannot_speak_for_the_peer",
        ENDPOINT + "test_forged_packets_change_nothing",
    ),
    2: attack(
        "acknowledgements are forged",
        CORE + "test_a_forged_acknowledgement_releases_nothing",
        "tunnel/test_channel.py::test_an_nr_beyond_what_was_sent_acknowledges_nothing_and_condemns_the_message",
    ),
    3: attack(
        "a flood of SCCRQs, and reflection",
        FLOODS + "test_a_flood_harms_nobody_else",
        FLOODS + "test_in_a_crowd_a_request_has_to_be_repeated",
        FLOODS + "test_the_ids_of_displaced_strangers_do_not_rest_for_long",
        CORE + "test_a_half_open_tunnel_costs_no_data_plane",
        ENDPOINT + "test_the_oldest_half_open_goes",
        ENDPOINT + "test_a_source_displaces_only_its_own",
        ENDPOINT + "test_copies_make_no_second_tunnel",
        ENDPOINT + "test_refusals_have_a_rate_limit",
        ENDPOINT + "test_no_refusal_without_an_id_to_send_it_to",
    ),
    4: attack(
        "a fresh SCCRQ takes an established tunnel over",
        CORE + "test_a_fresh_sccrq_does_not_end_an_established_tunnel",
        ENDPOINT + "test_a_restart_on_the_same_port",
        ENDPOINT + "test_a_second_late_copy_is_a_restart",
    ),
    5: attack(
        "the peer's address or port changes",
        "tunnel/test_core.py::test_addresses_are_static_once_known",
        "tunnel/test_core.py::test_the_answer_does_not_come_from_another_host",
        "tunnel/test_core.py::test_a_mere_acknowledgement_from_another_port_moves_nothing",
    ),
    6: attack(
        "tie breakers are abused",
        CORE + "test_a_tie_is_only_lost_while_we_ask",
        CORE + "test_a_tie_breaker_of_the_wrong_size_is_none",
        "tunnel/test_collision.py::test_who_wins",
    ),
    7: attack(
        "the challenge: guessing, reflection, weak or missing responses",
        CORE + "test_two_tunnels_in_opposite_roles_cannot_be_played_against_each_other",
        CORE + "test_a_response_of_another_type_does_not_fit",
        CORE + "test_challenges_of_failed_tunnels_are_forgotten",
        OURS + "test_a_stranger_gets_no_response_to_its_challenge",
        OURS + "test_a_secret_is_no_matter_of_taste",
    ),
    8: attack(
        "hidden AVPs: a key stream used twice, rubbish out of the cipher, passwords in the log",
        CORE + "test_a_random_vector_is_never_used_twice",
        CORE + "test_hidden_rubbish_never_raises",
        "wire/test_messages.py::test_the_same_attribute_twice_is_hidden_under_two_vectors",
        "test_secrecy.py::test_no_secret_is_ever_logged",
    ),
    9: attack(
        "mandatory AVPs that nobody knows",
        "wire/test_messages.py::test_unknown_mandatory_avp_is_a_fault",
        "wire/test_messages.py::test_unknown_optional_avp_is_kept_and_ignored",
        "tunnel/test_quirks.py::test_quirk_mandatory_vendor_avps",
    ),
    10: attack(
        "the digest of version 3: left out, replayed, of another message",
        RFC3931_4 + "test_4_3_any_change_of_header_or_body_is_noticed",
        RFC3931_4 + "test_4_3_a_message_without_a_digest_is_told_from_one_with_a_wrong_digest",
        RFC3931_7 + "test_4_7_3_with_a_secret_an_unsigned_answer_of_ver_3_is_no_answer",
        RFC3931_7 + "test_4_3_with_a_secret_a_request_without_a_digest_is_refused",
        RFC3931_7 + "test_4_7_3_no_fall_back_once_version_3_was_chosen",
        GUARD + "test_a_nonce_of_our_own_is_nobodys",
        GUARD + "test_without_a_nonce_nothing_is_believed",
        DIGEST + "test_every_cut_of_a_digest_is_wrong",
    ),
    11: attack(
        "a flood of ICRQs in a good tunnel, ids used up",
        CORE + "test_a_flood_of_calls_stops_at_the_limit",
        CORE + "test_a_peer_that_asks_and_never_takes_is_sent_away",
        CORE + "test_a_peer_that_takes_may_ask_for_ever",
        "tunnel/test_requests.py::test_without_a_free_id_a_request_is_refused",
        FLOODS + "test_a_flood_harms_nobody_else",
    ),
    12: attack(
        "proxy authentication is believed",
        "ppp/test_proxy.py::test_what_a_profile_allows",
        "ppp/test_proxy.py::test_what_cannot_be_a_proof_is_none",
        "ppp/test_proxy.py::test_a_proxied_proof_that_is_wrong_lets_nobody_in",
        LCP + "test_proxied_credentials_may_be_refused",
        LCP + "test_the_peer_may_be_challenged_anew",
    ),
    13: attack(
        "CHAP: reflection, repetition, the other side's proof",
        CHAP + "test_a_reflected_challenge_is_not_answered",
        CHAP + "test_a_password_asker_is_not_fooled_by_its_own_name_either",
        CHAP + "test_repeated_responses_get_the_same_reply_without_asking_again",
        CHAP + "test_every_challenge_is_new",
        CHAP + "test_an_authenticator_that_proves_nothing_is_left",
    ),
    14: attack(
        "LCP and NCPs: Naks without end, rejects of everything, loops, large echoes, useless MRUs, somebody else's address",
        LCP + "test_a_peer_that_naks_for_ever_is_given_up",
        LCP + "test_a_useless_mru_is_naked",
        RFC1661_4 + "test_naks_become_rejects_after_max_failure",
        RFC1661_4 + "test_the_reject_of_a_fundamental_code_terminates_the_connection",
        RFC1661_5 + "test_the_reject_of_lcp_itself_is_catastrophic",
        RFC1661_5 + "test_an_echo_reply_never_exceeds_the_peers_mru",
        "conformance/rfc1661/test_section_6.py::test_6_4_a_loop_is_noticed",
        IPCP + "test_insisting_on_another_address_ends_in_a_reject",
        "ppp/test_ipv6cp.py::test_two_zeros_must_be_rejected",
        "ppp/test_ipv6cp.py::test_an_equal_identifier_gets_a_different_suggestion",
        OURS + "test_a_request_full_of_options_is_answered_within_the_mru",
        "properties/test_links_bad_network.py::test_a_stranger_is_never_in",
    ),
    15: attack("a PPPoE access concentrator", reason=NO_PPPOE),
    16: attack(
        "RADIUS: forged and replayed demands, identifiers used up, slow servers, secrets in the log",
        DYNAUTH + "test_passed_over_in_silence",
        DYNAUTH + "test_what_was_overheard_is_of_no_use_later",
        DYNAUTH + "test_a_repetition_has_no_second_effect_and_the_same_answer",
        DYNAUTH + "test_any_octets_are_survived",
        EXCHANGE + "test_answers_of_others_do_not_count",
        EXCHANGE + "test_more_than_256_requests_are_under_way_at_once",
        EXCHANGE + "test_a_server_is_not_asked_too_much_at_once",
        "radius/test_spool.py::test_there_is_room_for_so_many_and_interims_go_first",
        "test_secrecy.py::test_no_secret_is_ever_logged",
    ),
    17: attack(
        "data packets are injected",
        "kernel/test_carriage.py::test_wrong_cookies",
        "conformance/rfc3931/test_section_5_4_4.py::test_5_4_4_a_cookie_is_random",
        "ppp/test_shared.py::test_nobody_sends_from_a_neighbours_address",
        "wire/test_data3.py::test_wrong_cookies",
    ),
    18: attack(
        "the route to a peer leads through its own tunnel",
        "test_preflight.py::test_a_session_whose_network_holds_its_own_peer",
        "test_preflight.py::test_a_peer_that_is_reached_by_a_sessions_interface",
        "test_preflight.py::test_a_ppp_session_that_takes_the_default_route",
    ),
    19: attack(
        "local users: the control socket, scripts, files of secrets, more rights than needed",
        SERVER + "test_root_and_the_owner_may_write_and_others_read",
        SERVER + "test_the_kernel_tells_who_the_client_is",
        SERVER + "test_one_user_cannot_take_all_connections",
        OURS + "test_the_group_may_read_and_never_write",
        SCRIPTS + "test_a_script_gets_arguments_environment_and_nothing_else",
        SCRIPTS + "test_whoever_can_replace_a_script_could_as_well_write_it",
        OURS + "test_what_a_peer_says_of_itself_is_never_an_argument",
        "test_hooks.py::test_control_characters_do_not_reach_a_script",
        LOAD + "test_a_secret_file_open_to_others_is_refused",
        "test_preflight.py::test_capabilities_are_read_as_the_kernel_tells_them",
    ),
}
"""What the protocols invite to."""
