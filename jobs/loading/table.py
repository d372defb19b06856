"""Table of a load's figures, as text."""

from typing import Any


def format_load(results: dict[str, Any]) -> str:
    """Lines of text from the figures of `summarize_load`."""
    pace = (
        f"{results['clients']} clients" if results["loop"] == "closed" else f"{results['rate']:g} requests/s, Poisson"
    )
    stream = ", streamed" if results["stream"] else ""
    lines = [
        f"{results['url']}, model {results['model']}: {results['loop']} loop, {pace}{stream}",
        f"{'requests':<14}{results['requests']} in {results['seconds']:.1f} s, {results['ok']} good",
        f"{'rate':<14}{results['requests_per_s']:.1f} good answers/s",
        *_latencies("latency", results["latency_ms"]),
        *_latencies("first piece", results["first_piece_ms"]),
        *_errors(results["errors"]),
    ]
    for name in ("expert", "task", "version"):
        lines += [_group(name, value, share) for value, share in results[f"by_{name}"].items()]
    return "\n".join([*lines, _generator(results["generator"])])


def _latencies(name: str, latencies: dict[str, float] | None) -> list[str]:
    if latencies is None:
        return []
    return [f"{name:<14}" + ", ".join(f"{at} {value:.1f}" for at, value in latencies.items()) + " ms"]


def _errors(errors: dict[str, Any]) -> list[str]:
    lines = [f"{'errors':<14}{errors['total']}"]
    for way in ("by_status", "by_class"):
        lines += [f"{'':<14}{count} × {way.removeprefix('by_')} {what}" for what, count in errors[way].items()]
    return lines


def _group(name: str, value: str, share: dict[str, Any]) -> str:
    latency = share["latency_ms"]
    tail = f", p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f} ms" if latency else ""
    return f"{name:<14}{value}: {share['requests']} requests, {share['ok']} good{tail}"


def _generator(generator: dict[str, Any]) -> str:
    shares = ", ".join(f"{share:.0%}" for share in generator["cpu_shares"])
    line = f"{'generator':<14}{shares} of a core, p99 {generator['late_p99_ms']:.1f} ms late"
    if generator["saturated"]:
        line += (
            "\nThe generator itself was saturated: take more --processes or another machine; the server may do better."
        )
    return line
