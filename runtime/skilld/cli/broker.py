"""`skilld broker-config`: the configuration of a mosquitto for the site, or for development."""

from __future__ import annotations

import argparse
from pathlib import Path

from skilld.cli.console import out, print_json


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `skilld broker-config`."""
    parser.add_argument("folder", type=Path, help="where to write; what is there is replaced")
    parser.add_argument(
        "--development",
        action="store_true",
        help="this machine only, no TLS, everybody may do everything",
    )
    for role, what in (
        ("robot", "calls skills"),
        ("field-team", "calls skills, watches updates"),
        ("depot", "hands out releases"),
        ("box", "answers calls"),
    ):
        parser.add_argument(
            f"--{role}",
            action="append",
            default=[],
            metavar="NAME",
            help=f"{what}; the common name of its certificate; may be repeated",
        )
    parser.add_argument("--ca", type=Path, help="PEM of the authority of all certificates")
    parser.add_argument("--certificate", type=Path, help="PEM of the broker")
    parser.add_argument("--key", type=Path, help="PEM of the broker's private key")
    parser.add_argument("--crl", type=Path, help="PEM list of revoked certificates")
    parser.add_argument(
        "--tls12", action="store_true", help="also for clients that do not speak TLS 1.3"
    )
    parser.add_argument("--port", type=int, help="8883; 1883 for development")
    parser.add_argument("--socket", type=Path, help="unix socket as well, for development")
    parser.add_argument("--prefix", default="skilld", help="of all topics")
    parser.add_argument("--user", default="mosquitto", help="whom mosquitto runs as")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("/var/lib/mosquitto"),
        help="folder of what the broker keeps over a restart",
    )


def broker_config_command(options: argparse.Namespace) -> int:
    """Write a configuration for mosquitto."""
    from skilld.mqtt.broker_address import BrokerError
    from skilld.transports.mqtt.broker_config import (
        ACL_NAME,
        CONFIG_NAME,
        BrokerConfig,
        BrokerTls,
        Roles,
        development_text,
    )

    folder: Path = options.folder.absolute()
    if options.development:
        text = development_text(port=options.port or 1883, socket=options.socket)
        return _write(options, folder, {CONFIG_NAME: text})
    if not (options.ca and options.certificate and options.key):
        raise BrokerError(
            "a broker on the network needs --ca, --certificate and --key; --development makes one "
            "for this machine only"
        )
    config = BrokerConfig(
        folder=folder,
        tls=BrokerTls(
            ca=options.ca.absolute(),
            certificate=options.certificate.absolute(),
            key=options.key.absolute(),
            revoked=None if options.crl is None else options.crl.absolute(),
            version="tlsv1.2" if options.tls12 else "tlsv1.3",
        ),
        roles=Roles(
            robots=tuple(options.robot),
            field_teams=tuple(options.field_team),
            depots=tuple(options.depot),
            boxes=tuple(options.box),
        ),
        prefix=options.prefix,
        port=options.port or 8883,
        user=options.user,
        data_folder=options.data,
    )
    texts = {CONFIG_NAME: config.config_text(), ACL_NAME: config.acl_text()}
    return _write(options, folder, texts)


def _write(options: argparse.Namespace, folder: Path, texts: dict[str, str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        draft = path.with_name(f".{name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    paths = [str(folder / name) for name in texts]
    if options.json:
        print_json({"written": paths})
        return 0
    for written in paths:
        out.print(f"written: {written}", highlight=False, soft_wrap=True)
    out.print(f"start it: mosquitto -c {paths[0]}", highlight=False, soft_wrap=True)
    return 0
