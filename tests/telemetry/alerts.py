"""Writes tests for `promtool test rules`: of every alert, numbers at which it fires, and numbers just short of that at which it does not.

    alerts.py RULES.yml       prints the tests; fails where an alert of the file has none here, or one here is not in the file

Each case: the series that fire it with their values a minute apart, those that do not, and after how many minutes it is looked at.
"""

import json
import re
import sys

MINUTES = 120
FROM = 'instance="one", job="bailiwick"'


def flat(value):
    return f"{value}+0x{MINUTES}"


def rises(by):
    """By so much at minute 5, from a number that was there before: what a counter never showed does not count as an increase."""
    return f"10+0x4 {10 + by}+0x{MINUTES}"


def series(name, values, labels=""):
    labels = ", ".join(one for one in (FROM, labels) if one)
    return {"series": f"{name}{{{labels}}}", "values": values}


def of_event(event, at):
    def numbers(by):
        return [series("bailiwick_events_total", rises(by), f'event="{event}"')]

    return (numbers(1), numbers(0), at)


def of_counter(name, few, many, at, labels=""):
    return ([series(name, rises(many), labels)], [series(name, rises(few), labels)], at)


def of_gauge(name, bad, good, at):
    return ([series(name, flat(bad))], [series(name, flat(good))], at)


def of_share(part, whole, bad, good, at):
    return tuple([series(part, flat(of)), series(whole, flat(100))] for of in (bad, good)) + (at,)


def refusals(of_calls):
    return [
        series("bailiwick_refusals_total", rises(80), 'stage="policy"'),
        series("bailiwick_calls_total", rises(of_calls), 'outcome="refused"'),
    ]


def slow(share):
    """A hundred writes a minute, so many of them slower than half a second."""
    name = "bailiwick_audit_write_seconds_bucket"
    fast = 100 - share
    of = {"0.005": fast, "0.5": fast, "1": 100, "+Inf": 100}
    return [series(name, f"0+{each}x{MINUTES}", f'le="{le}"') for le, each in of.items()]


FAILURES = "bailiwick_authentication_failures_total"
CASES = {
    "BailiwickDown": of_gauge("up", 0, 1, 10),
    "BailiwickAuditClosed": of_gauge("bailiwick_audit_open", 0, 1, 10),
    "BailiwickAuditLag": of_gauge("bailiwick_audit_waiting_records", 600, 500, 10),
    "BailiwickAuditSlow": (slow(5), slow(0), 20),
    "BailiwickClockLeapt": of_event("clock.doubted", 8),
    "BailiwickClockDoubted": of_gauge("bailiwick_clock_believed", 0, 1, 100),
    "BailiwickNotReady": of_gauge("bailiwick_ready", 0, 1, 10),
    "BailiwickRulesNotInForce": of_gauge("bailiwick_rules_in_force", 0, 1, 10),
    "BailiwickAuthenticationFailures": of_counter(FAILURES, 60, 200, 8, 'reason="expired"'),
    "BailiwickForgedTokens": (
        [series(FAILURES, rises(1), 'reason="signature"'), series(FAILURES, rises(0), 'reason="disagreement"')],
        [series(FAILURES, rises(0), 'reason="signature"'), series(FAILURES, rises(0), 'reason="disagreement"')],
        8,
    ),
    "BailiwickRefusalBurst": (refusals(100), refusals(300), 8),
    "BailiwickEgressRefusals": of_counter("bailiwick_host_calls_refused_total", 15, 40, 8, 'kind="http"'),
    "BailiwickToolChanged": of_event("tool.changed", 8),
    "BailiwickToolRefused": of_gauge("bailiwick_packages_refused", 1, 0, 20),
    "BailiwickConsentSuspended": of_event("consent.suspended", 8),
    "BailiwickForeignQuestion": of_event("consent.foreign-user", 8),
    "BailiwickThrottles": of_counter("bailiwick_throttles_total", 60, 200, 8, 'bound="rate"'),
    "BailiwickSaturated": of_share("bailiwick_pool_places_taken", "bailiwick_pool_places", 95, 85, 10),
    "BailiwickDescriptors": of_share("process_open_fds", "process_max_fds", 85, 75, 20),
    "BailiwickFaults": of_counter("bailiwick_faults_total", 0, 1, 8, 'outcome="fault"'),
    "BailiwickNoTraces": of_counter("bailiwick_telemetry_exports_total", 5, 20, 8, 'outcome="failed"'),
}


def fires(name, numbers, at, expected):
    """What is compared is that it fires, and how often; its labels and text are those of the file."""
    count = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
    seen = {"expr": count, "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": expected}]}
    return {"interval": "1m", "input_series": numbers, "promql_expr_test": [seen]}


def main(rules):
    with open(rules, encoding="utf-8") as file:
        named = set(re.findall(r"^\s*- alert: (\S+)$", file.read(), re.MULTILINE))
    assert named == CASES.keys(), f"tested or there, and not both: {sorted(named ^ CASES.keys())}"
    tests = []
    for name, (bad, good, at) in CASES.items():
        tests += [fires(name, bad, at, 1), fires(name, good, at, 0)]
    # JSON is YAML.
    print(json.dumps({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}, indent=1))


main(sys.argv[1])
