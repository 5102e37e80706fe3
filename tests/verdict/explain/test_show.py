from __future__ import annotations

import json

from qstress.model import Confidence
from qstress.verdict.explain.picture import DumpVerdict, Explanation
from qstress.verdict.explain.show import explanation_json, explanation_text
from qstress.verdict.vcpu import VcpuLook

BSP = VcpuLook(0, eip=0xEE2FB, eip_text="000ee2fb", halted=False, cs_base=0, cr0=0x11)
LONG = VcpuLook(2, eip=0x10, eip_text="0000000000000010", eflags=0x246, halted=True, cs_base=0, long=True)
LOST = Explanation(
    DumpVerdict.LOST_INIT, Confidence.LIKELY, (BSP, LONG, VcpuLook(3, numbered=False)), ("one", "two"), ("more",)
)


def test_json_is_as_the_interface_says() -> None:
    assert json.loads(json.dumps(explanation_json(LOST))) == {
        "verdict": "lost-init",
        "confidence": "likely",
        "vcpus": [
            {"index": 0, "role": "bsp", "state": "running", "eip": "000ee2fb", "cs_base": "00000000", "hlt": False},
            {
                "index": 2,
                "role": "ap",
                "state": "idle",
                "eip": "0000000000000010",
                "cs_base": "0000000000000000",
                "hlt": True,
            },
            {"index": 3, "role": "unknown", "state": "unknown", "eip": "unknown", "cs_base": None, "hlt": None},
        ],
        "because": ["one", "two"],
        "ask_for": ["more"],
    }


def test_text_has_a_line_a_vcpu_the_reasons_and_what_to_collect() -> None:
    assert explanation_text(LOST).splitlines() == [
        "lost-init (likely)",
        "  CPU#0  bsp     running      EIP=000ee2fb CS base 00000000 HLT=0  in 32-bit firmware code",
        "  CPU#2  ap      idle         EIP=0000000000000010 CS base 0000000000000000 HLT=1  in 64-bit code",
        "  CPU ?  unknown unknown      EIP=unknown",
        "because",
        "  - one",
        "  - two",
        "to settle it, collect",
        "  - more",
    ]
    assert "collect" not in explanation_text(Explanation(DumpVerdict.BUSY, Confidence.CERTAIN, (), ("x",)))
