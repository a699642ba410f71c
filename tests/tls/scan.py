"""Scans TLS on a port of this machine and fails with every finding. The authority of its certificate is the second argument."""

import sys
from pathlib import Path

from sslyze import (
    RobotScanResultEnum,
    ScanCommand,
    ScanCommandAttemptStatusEnum,
    ScanCommandsExtraArguments,
    Scanner,
    ServerNetworkLocation,
    ServerScanRequest,
)
from sslyze import CertificateInfoExtraArgument
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

port, authority = int(sys.argv[1]), Path(sys.argv[2])
location = ServerNetworkLocation("localhost", port, ip_address="127.0.0.1")
extra = ScanCommandsExtraArguments(
    certificate_info=CertificateInfoExtraArgument(custom_ca_file=authority)
)
scanner = Scanner()
scanner.queue_scans(
    [ServerScanRequest(server_location=location, scan_commands=set(ScanCommand), scan_commands_extra_arguments=extra)]
)
[scanned] = scanner.get_results()
result = scanned.scan_result
findings = []


def of(command):
    """What a check found; one that could not be made is a finding."""
    attempt = getattr(result, command)
    if attempt.status != ScanCommandAttemptStatusEnum.COMPLETED:
        sys.exit(f"{command} could not be checked: {attempt.error_reason} {attempt.error_trace}")
    return attempt.result


def finding(holds, text):
    if holds:
        findings.append(text)


if result is None:
    sys.exit(f"the server could not be scanned: {scanned.connectivity_error_trace}")
for command in ScanCommand:
    of(command.value)
for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]:
    finding(of(f"{version}_cipher_suites").is_tls_version_supported, f"{version} is spoken")
for version in ["tls_1_2", "tls_1_3"]:
    suites = of(f"{version}_cipher_suites")
    finding(not suites.is_tls_version_supported, f"{version} is not spoken")
    for accepted in suites.accepted_cipher_suites:
        name = accepted.cipher_suite.name
        good = ("GCM" in name or "CHACHA20" in name) and (version == "tls_1_3" or name.startswith("TLS_ECDHE_"))
        finding(not good, f"{name} is accepted")
        print(f"{version}: {name}")
finding(of("tls_compression").supports_compression, "TLS is compressed")
finding(of("tls_1_3_early_data").supports_early_data, "early data is taken")
finding(of("heartbleed").is_vulnerable_to_heartbleed, "Heartbleed")
finding(of("openssl_ccs_injection").is_vulnerable_to_ccs_injection, "CCS injection")
finding(
    of("robot").robot_result
    not in (RobotScanResultEnum.NOT_VULNERABLE_NO_ORACLE, RobotScanResultEnum.NOT_VULNERABLE_RSA_NOT_SUPPORTED),
    "ROBOT",
)
finding(of("session_renegotiation").is_vulnerable_to_client_renegotiation_dos, "a client can renegotiate")
finding(not of("session_renegotiation").supports_secure_renegotiation, "renegotiation is not secured")
finding(not of("tls_extended_master_secret").supports_ems_extension, "no extended master secret")
finding(not of("elliptic_curves").supports_ecdh_key_exchange, "no ECDH")
for deployed in of("certificate_info").certificate_deployments:
    finding(deployed.verified_certificate_chain is None, "the chain does not lead to its authority")
    finding(not deployed.received_chain_has_valid_order, "the chain is out of order")
    finding(bool(deployed.received_chain_contains_anchor_certificate), "the chain holds its anchor")
    finding(bool(deployed.verified_chain_has_sha1_signature), "a signature of SHA-1")
hsts = of("http_headers").strict_transport_security_header
finding(hsts is None or hsts.max_age < 63072000, f"HSTS: {hsts}")
try:
    intermediate = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    check_server_against_tls_configuration(scanned, intermediate)
except ServerNotCompliantWithTlsConfiguration as error:
    findings.extend(f"Mozilla, intermediate: {name}: {text}" for name, text in error.issues.items())
for text in findings:
    print(f"finding: {text}", file=sys.stderr)
if findings:
    sys.exit(1)
print(f"{len(ScanCommand)} checks and Mozilla's intermediate configuration: no finding")
