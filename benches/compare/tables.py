"""The results as tables of markdown, which a terminal shows as well."""

from statistics import median


def number(value):
    """Three digits that mean something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values):
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def table(header, rows):
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in [header, rule, *rows]
    )


HEADER = [
    "tool",
    "threads",
    "seconds (min–max)",
    "CPU-seconds",
    "peak MB",
    "output MB",
    "time : windrow",
    "memory : windrow",
]


def cell(result):
    """One work on one layout: the tools, the floor, and how well their values agree."""
    medians = {tool: {key: median(values) for key, values in runs.items()} for tool, runs in result["runs"].items()}
    ours = medians.get("windrow")
    rows = []
    for tool, costs in medians.items():
        ratios = [number(costs[key] / ours[key]) if ours else "" for key in ("seconds", "memory")]
        measured = [number(costs[key]) for key in ("cpu", "memory", "size")]
        seconds = spread(result["runs"][tool]["seconds"])
        rows.append([tool, str(result["threads"]), seconds, *measured, *ratios])
    return "\n".join([table(HEADER, rows), "", *floor(result, ours), *remarks(result)])


def floor(result, ours):
    """How windrow stands to the scan and the write alone."""
    if not result["floor"]:
        return ["- floor: not built"]

    def line(what, seconds):
        ratio = f"; windrow takes {number(ours['seconds'] / median(seconds))} times as long" if ours else ""
        return f"- {what}: {spread(seconds)} seconds{ratio}"

    return [line("floor", result["floor"]), line("floor, flushed to the disk as a run is", result["flushed"])]


def remarks(result):
    """Who was not there, and how far the values of the others are from windrow's."""
    for tool, reason in result["absent"].items():
        yield f"- {tool}: {reason}"
    for tool, report in result["agreement"].items():
        worst = max(report["columns"], key=lambda column: column["error"], default={"error": 0})
        if worst["error"] > 0:
            yield f"- {tool} against windrow: largest error {worst['error']:.1e}, {worst['name']} at {worst['at']}"
        elif not report["problems"]:
            yield f"- {tool} against windrow: every value the same"
        for text in report["allowed"]:
            yield f"- {tool} may differ here: {text}"
        for text in report["problems"]:
            yield f"- {tool} DISAGREES: {text}"


def title(result):
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    return f"{result['work']}, {result['layout']}, {threads}"


def everything(results):
    """The whole document: the machine, the versions, and a table per work, layout and number of threads."""
    conditions = "{processor}, {processors} processors, {memory} GB, Linux {kernel}; load {load_before} before, {load_after} after"
    lines = [
        conditions.format(**results["machine"])
        + f"; medians of {results['repeat']}"
        + ("; a tenth of the data" if results["quick"] else ""),
        "",
        ", ".join(f"{tool} {version}" for tool, version in results["versions"].items()),
    ]
    for result in results["cells"]:
        lines += ["", f"### {title(result)}", "", cell(result)]
    return "\n".join(lines)
