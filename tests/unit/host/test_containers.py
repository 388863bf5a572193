"""Container ids as the runtimes write them into cgroup paths."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockscope.host.containers import parse_container_id

#: An emulated machine is slow, and that is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        ("/", ""),
        ("", ""),
        ("/init.scope", ""),
        ("/user.slice/user-1000.slice/session-3.scope", ""),
        ("/system.slice/nginx.service", ""),
        ("/system.slice/docker.service", ""),
        ("/system.slice/containerd.service", ""),
        (f"/system.slice/docker-{ID}.scope", ID),
        (f"/docker/{ID}", ID),
        (f"/docker/{ID} (deleted)", ID),
        (f"/docker/{ID}/system.slice/nginx.service", ID),
        (f"/machine.slice/libpod-{ID}.scope/container", ID),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", ID),
        (f"/libpod_parent/libpod-{ID}", ID),
        (f"/machine.slice/libpod-conmon-{ID}.scope", ""),
        (f"/kubepods/burstable/pod2b801b7a-3a4e-4a5c-8c4e-000000000000/{ID}", ID),
        (f"/kubepods.slice/kubepods-pod2b801b7a.slice/cri-containerd-{ID}.scope", ID),
        (f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice/crio-{ID}.scope", ID),
        (f"/kubepods.slice/crio-conmon-{ID}.scope", ""),
        (f"/kubepods.slice/kubepods-podx.slice/docker-{ID}.scope", ID),
        (f"/system.slice/containerd.service/kubepods-burstable-podx.slice:cri-containerd:{ID}", ID),
        (f"/k8s.io/{ID}", ID),
        (f"/default/{ID}", ID),
        (f"/system.slice/nerdctl-{ID}.scope", ID),
        (f"/ecs/{'ab' * 16}/{'ab' * 16}-1234567890", f"{'ab' * 16}-1234567890"),
        (f"/docker/{OTHER}/kubelet/kubepods/besteffort/podx/{ID}", ID),
        ("/lxc/web", "web"),
        ("/lxc/web/system.slice/nginx.service", "web"),
        ("/lxc.payload.web/system.slice/nginx.service", "web"),
        ("/lxc.payload/web", "web"),
        ("/lxc.monitor.web", ""),
        ("/machine.slice/machine-web.scope", "web"),
        ("/machine.slice/machine-my\\x2dweb\\x2d\\xc3\\xa4.scope/payload", "my-web-ä"),
        ("/machine.slice/machine-qemu\\x2d1\\x2dguest.scope", ""),
        ("/machine.slice/systemd-nspawn@web.service/payload/system.slice", "web"),
        (f"/docker/{ID[:-1]}", ""),
        (f"/docker/{ID.upper()}", ""),
    ],
)
def test_the_container_is_found(cgroup: str, container: str) -> None:
    assert parse_container_id(cgroup) == container


@patient
@given(st.text(max_size=60))
def test_any_path_has_a_container_or_none(cgroup: str) -> None:
    assert isinstance(parse_container_id(cgroup), str)
