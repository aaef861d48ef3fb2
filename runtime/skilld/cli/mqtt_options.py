"""How a command that speaks to the broker is told where it is, and how it may be trusted."""

from __future__ import annotations

import argparse
from pathlib import Path

from skilld.config import MqttConfig, MqttTlsConfig


def add_mqtt_options(parser: argparse.ArgumentParser, *key_flags: str) -> None:
    """Add them.

    Args:
        parser: of the command.
        key_flags: for the key of its certificate, besides `--certificate-key`.
    """
    parser.add_argument(
        "--broker", required=True, metavar="ADDRESS", help="host:port or unix:/path of the broker"
    )
    parser.add_argument("--prefix", default="skilld", help="of all topics")
    parser.add_argument("--ca", type=Path, help="PEM of the authority of the broker's certificate")
    parser.add_argument("--certificate", type=Path, help="PEM that says who this is")
    parser.add_argument(
        "--certificate-key",
        *key_flags,
        dest="certificate_key",
        type=Path,
        help="PEM of its private key",
    )
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument(
        "--allow-plaintext-on-network",
        action="store_true",
        help="go without TLS to a broker that is not on this machine",
    )


def mqtt_config(options: argparse.Namespace) -> MqttConfig:
    """What they say."""
    has_tls = options.ca or options.certificate or options.certificate_key
    return MqttConfig(
        broker=options.broker,
        prefix=options.prefix,
        username=options.username,
        password_file=options.password_file,
        tls=MqttTlsConfig(
            ca=options.ca,
            certificate_chain=options.certificate,
            private_key=options.certificate_key,
        )
        if has_tls
        else None,
        allow_plaintext_on_network=options.allow_plaintext_on_network,
    )
