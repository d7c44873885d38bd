"""Every fault that a daemon has to live with, what must hold then, and the test that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]


class Fault(NamedTuple):
    """One row: what goes wrong, what must hold, and where that is tested: a file in `tests/`, and a function."""

    wrong: str
    holds: str
    file: str
    test: str


# fmt: off
FAULTS = [
    Fault("the kernel refuses an operation of set-up", "reason to the peer, tried again, others live on", "faults/test_refusals.py", "test_setting_up"),
    Fault("... of a change", "the session is closed with the reason, its sister lives on", "faults/test_refusals.py", "test_changing"),
    Fault("... of a tear-down", "asked for again, nothing is left", "faults/test_refusals.py", "test_tearing_down"),
    Fault("... of a reload", "delays what it concerns and nothing else", "faults/test_refusals.py", "test_reloading"),
    Fault("... of set-up or tear-down, all others being carried out", "tried again, nothing is left", "vm/inside/test_faults.py", "test_an_operation_is_refused"),
    Fault("it never lets go of an object", "said in the log, nobody waits", "faults/test_refusals.py", "test_an_object_that_the_kernel_never_lets_go_of"),
    Fault("an interface is deleted behind our back", "its session ends with a reason", "test_pseudowires.py", "test_interface_deleted"),
    Fault("... of PPP", "its session ends", "ppp/test_task.py", "test_an_interface_that_is_deleted"),
    Fault("... that subscribers share", "their sessions end, the next gets a new one", "ppp/test_shared.py", "test_an_interface_that_is_deleted_ends_all_its_sessions"),
    Fault("... of the kernel's PPP", "its session ends", "vm/inside/test_ppp_builtin.py", "test_somebody_else_touches_an_interface"),
    Fault("reports of interfaces are lost", "made good by looking", "kernel/test_linkwatch.py", "test_more_reports_than_fit_are_made_good"),
    Fault("an address of ours is removed", "its tunnels come back with it, others do not notice", "faults/test_network.py", "test_an_address_of_ours_is_removed"),
    Fault("... on the kernel's data plane", "its tunnels and their PPP come back, others do not notice", "vm/inside/test_faults.py", "test_an_address_is_removed"),
    Fault("ENOBUFS, EAGAIN, ENETDOWN, EPERM at sending", "counted, and repaired like loss", "faults/test_network.py", "test_what_cannot_be_sent_is_loss"),
    Fault("an ICMP error", "ends nothing", "tunnel/test_task.py", "test_an_icmp_error_ends_nothing"),
    Fault("the clock on the wall jumps", "nothing ends, begins or hurries", "vm/inside/test_clock.py", "test_the_clock_jumps"),
    Fault("... beside RADIUS", "requests count by our clock, none counts twice", "vm/inside/test_clock.py", "test_the_clock_jumps_beside_radius"),
    Fault("... and a new reader of it is written", "it has to be told here", "faults/test_clock.py", "test_what_reads_the_clock_on_the_wall"),
    Fault("the process is stopped for a while", "short: nothing; long: the peer gets in again", "faults/test_stopped.py", "test_stopped"),
    Fault("... with many tunnels", "short: nothing; long: all get in again", "faults/test_stopped.py", "test_many_tunnels_are_stopped"),
    Fault("the disk under the log is full", "lines are lost and counted", "faults/test_disk.py", "test_a_full_disk_under_the_log"),
    Fault("... under the spool", "no half records, no loss of what is kept", "faults/test_disk.py", "test_a_full_disk_under_the_spool"),
    Fault("... under a capture", "the client says so", "cli/test_capture.py", "test_a_failure_is_a_sentence"),
    Fault("... under what a command prints, or that is closed", "the command says so", "cli/test_options.py", "test_a_full_output"),
    Fault("the directory of the log is gone", "written on; opening anew fails with a word", "faults/test_disk.py", "test_a_log_whose_directory_is_gone"),
    Fault("syslog is gone, and returns", "lines are lost and counted", "test_log.py", "test_syslog_may_come_late_go_and_come_back"),
    Fault("syslog does not read", "nobody waits", "test_log.py", "test_a_syslog_that_does_not_read_never_blocks"),
    Fault("nobody reads stderr", "nobody waits", "test_log.py", "test_a_pipe_that_nobody_reads_costs_lines_only"),
    Fault("the supervisor is gone or full", "nobody minds", "test_systemd.py", "test_a_supervisor_that_is_gone_or_full_does_not_hurt"),
    Fault("the control socket's file is removed", "connections and tunnels live on, and it is made anew", "faults/test_disk.py", "test_a_control_socket_that_somebody_removed"),
    Fault("the resolver never answers", "delays nobody, and takes nobody's threads", "test_dialer.py", "test_a_resolver_that_hangs_delays_nobody"),
    Fault("no RADIUS server answers", "log-ins fail in bounded time", "interop/test_radius.py", "test_without_servers_log_ins_fail_in_bounded_time"),
    Fault("... any more, under load", "no record is lost", "interop/test_radius.py", "test_nothing_is_lost_when_the_server_dies_under_load"),
    Fault("no descriptor for a tunnel of ours", "said, dialled again", "faults/test_descriptors.py", "test_a_tunnel_of_ours"),
    Fault("... of a peer", "refused, later let in", "faults/test_descriptors.py", "test_a_tunnel_of_a_peer"),
    Fault("... for a control client", "it waits", "faults/test_descriptors.py", "test_a_control_client"),
    Fault("... for a scrape", "it waits, which is said once a minute", "faults/test_descriptors.py", "test_a_scrape"),
    Fault("... for the configuration", "the old one stays in force", "faults/test_descriptors.py", "test_a_reload"),
    Fault("... for a hook script", "not run, counted", "faults/test_descriptors.py", "test_a_hook_script"),
    Fault("... for a capture", "goes on", "faults/test_descriptors.py", "test_a_capture"),
    Fault("... for its next file", "goes on", "cli/test_ring.py", "test_a_ring_goes_on_without_another_descriptor"),
    Fault("... for an interface", "the session is closed, and asked for again", "faults/test_descriptors.py", "test_an_interface"),
    Fault("... of the kernel's, few or none at all", "the session is closed, and asked for again", "vm/inside/test_faults.py", "test_few_descriptors"),
    Fault("... of pppd's pipes", "the session is closed, and asked for again", "vm/inside/test_faults.py", "test_few_descriptors_for_pppd"),
    Fault("... to look for interfaces", "none is taken to be gone", "faults/test_descriptors.py", "test_what_became_of_an_interface"),
    Fault("... to hear what subscribers ask", "said once, heard later", "kernel/test_overhear.py", "test_the_socket_comes_when_there_are_descriptors"),
    Fault("... to ask a RADIUS server", "said, no server is blamed, later let in", "faults/test_descriptors.py", "test_a_log_in_by_radius"),
    Fault("... to keep an accounting record", "kept later", "faults/test_descriptors.py", "test_accounting_that_nobody_takes"),
    Fault("... for syslog", "lines are lost and counted", "test_log.py", "test_without_a_descriptor_for_syslog_lines_are_lost"),
    Fault("a daemon is cancelled while it starts", "nothing is left", "faults/test_cancelled.py", "test_starting"),
    Fault("... sets up", "nothing is left", "faults/test_cancelled.py", "test_setting_up"),
    Fault("... stops", "nothing is left", "faults/test_cancelled.py", "test_stopping"),
    Fault("... reads its configuration", "nothing is left", "faults/test_cancelled.py", "test_reloading"),
    Fault("... answers a client or shows messages", "nothing is left", "faults/test_cancelled.py", "test_a_control_request_and_a_capture"),
    Fault("... runs a hook script", "nothing is left", "faults/test_cancelled.py", "test_a_hook_script"),
    Fault("... brings PPP up", "nothing is left", "faults/test_cancelled.py", "test_ppp"),
    Fault("... makes an Ethernet interface", "nothing is left", "faults/test_cancelled.py", "test_ethernet"),
    Fault("... on the kernel's data plane", "nothing is left in the kernel", "vm/inside/test_faults.py", "test_cancelled_ppp"),
    Fault("... with two pppds", "nothing is left in the kernel", "vm/inside/test_faults.py", "test_cancelled_pppd"),
    Fault("... makes an Ethernet interface of the kernel's, over UDP or IP", "nothing is left in the kernel", "vm/inside/test_faults.py", "test_cancelled_ethernet"),
    Fault("one of three capabilities is missing", "said what for, the rest works", "faults/test_rights.py", "test_without_a_capability"),
    Fault("... for a listener", "it does not start, and says what it lacks", "faults/test_rights.py", "test_a_listener_that_takes_more"),
    Fault("there is no root, only the capabilities", "the kernel's data plane works", "vm/inside/test_faults.py", "test_as_another_user"),
    Fault("a tunnel of very many sessions ends", "others get turns in between", "faults/test_many.py", "test_a_tunnel_of_many_sessions_ends"),
    Fault("a session ends at any moment", "its tunnel lives on, nothing is left of it", "faults/test_cancelled.py", "test_a_session_that_ends_at_any_moment"),
    Fault("... of the kernel's PPP", "its tunnel lives on, nothing is left of it", "vm/inside/test_ppp_builtin.py", "test_sessions_that_end_at_any_moment"),
    Fault("... of the kernel's Ethernet or VLAN, over UDP or IP", "its tunnel lives on, nothing is left of it", "vm/inside/test_faults.py", "test_an_ethernet_session_that_ends_at_any_moment"),
    Fault("... of pppd", "its tunnel lives on, nothing is left of it, nor of pppds", "vm/inside/test_faults.py", "test_a_session_of_pppd_that_ends_at_any_moment"),
    Fault("the kernel is not done with a tunnel that comes back", "it comes back", "vm/inside/test_eth_plane.py", "test_it_comes_back_at_once"),
    Fault("... with a session", "it comes back", "vm/inside/test_eth_plane.py", "test_a_session_comes_back_at_once"),
    Fault("`l2tpctl connect` is killed", "its daemon ends, the peer is told", "cli/test_connect.py", "test_it_is_killed"),
    Fault("a bug in one tunnel", "it ends alone", "test_daemon.py", "test_a_bug_in_one_tunnel_ends_no_other"),
    Fault("... that waits to be opened", "the others stop politely", "test_daemon.py", "test_a_bug_in_one_that_waits_to_be_opened"),
    Fault("... as it ends", "its calls count no longer, those that can be are told of", "tunnel/test_task.py", "test_a_bug_that_keeps_calls_from_ending"),
    Fault("... in what hears of its end", "the data plane lets go of it all the same", "tunnel/test_task.py", "test_a_bug_in_what_hears_of_an_end"),
    Fault("... in a datagram's way to its tunnel", "it costs the datagram", "test_daemon.py", "test_a_bug_while_a_stray_is_dispatched"),
    Fault("... in dialling", "the tunnel ends, the dialler goes on", "test_dialer.py", "test_a_bug_while_a_session_is_asked_for_again"),
    Fault("... in PPP of a session that an interface's end is to end", "the session ends alone", "test_circuits.py", "test_ppp_that_cannot_be_ended"),
    Fault("... in PPP whose interface others share", "the session ends alone", "ppp/test_shared.py", "test_a_bug_of_one_session_is_no_others"),
    Fault("... in taking a frame of PPP", "the session ends alone", "ppp/test_task.py", "test_a_bug_in_taking_a_frame"),
    Fault("... in what a subscriber asks its router", "it costs the question", "kernel/test_overhear.py", "test_what_asks_the_router_is_heard"),
    Fault("... in what follows a report of an interface", "it costs the report", "kernel/test_linkwatch.py", "test_a_bug_of_one_interface_costs_no_other"),
    Fault("... in an operation of the data plane", "it is refused, others are carried out", "kernel/test_adapter.py", "test_a_bug_of_the_plane_ends_one_operation"),
    Fault("... in who hears of events: accounting, subscribers, hook scripts", "no tunnel ends", "test_daemon.py", "test_a_bug_in_who_hears_of_events_ends_no_tunnel"),
    Fault("... in what one of them, or a capture, wants to hear of", "it costs that one the event", "test_bus.py", "test_a_bug_in_what_a_subscriber_wants"),
    Fault("... in what a signal asks for", "the next is served", "test_signals.py", "test_a_bug_in_what_a_signal_asks_for"),
    Fault("... in a reload", "the next works", "test_reload.py", "test_a_bug_in_a_reload"),
    Fault("... in what came of a RADIUS request", "others hear of theirs", "radius/test_courier.py", "test_a_bug_in_who_asked_is_no_other_askers"),
    Fault("... in the exchange with RADIUS servers", "it goes on", "radius/test_courier.py", "test_a_bug_in_the_exchange_ends_nothing"),
    Fault("... in what a RADIUS client asks for", "it costs the request", "radius/test_client.py", "test_a_bug_that_a_request_meets_costs_that_request"),
    Fault("... in counting for interim accounting", "others are accounted for", "radius/test_client.py", "test_a_bug_in_one_session_keeps_no_other_from_its_interim_records"),
    Fault("... in a control method", "it is an answer", "control/test_server.py", "test_a_bug_in_one_method_ends_nothing"),
    Fault("... in reading the counts of the data plane", "a scrape goes without them", "test_metrics.py", "test_a_bug_in_the_data_plane_is_counted"),
    Fault("... in whatever serves everybody", "it begins anew", "test_supervise.py", "test_what_serves_everybody_begins_anew"),
]
# fmt: on


def test_each_fault_has_its_test() -> None:
    """Whoever renames or deletes one has to say here what shows it instead."""
    missing = [fault for fault in FAULTS if f"def {fault.test}(" not in (TESTS / fault.file).read_text()]
    assert [] == missing


def test_each_test_of_faults_has_a_row() -> None:
    """A test of a fault that the table does not know is a fault that nobody will look for."""
    rows = {(fault.file, fault.test) for fault in FAULTS}
    for path in Path(__file__).parent.glob("test_*.py"):
        if path != Path(__file__):
            found = {
                line.split("def ")[1].split("(")[0] for line in path.read_text().splitlines() if "def test_" in line
            }
            assert (
                set()
                == {(f"faults/{path.name}", name) for name in found - {"test_the_search_finds_what_it_looks_for"}}
                - rows
            )
