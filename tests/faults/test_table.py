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
