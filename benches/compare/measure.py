"""What a whole process costs: from its start to its end, with all that it loads."""

import os
import subprocess
import tempfile
import threading
import time
from glob import glob

TIME_LIMIT = 900  # seconds; a tool that hangs ends the comparison, not the night


class Failed(Exception):
    """A process that did not end well; the message is the last line that it wrote to standard error."""


def run(command, folder):
    """Runs a command and gives seconds, CPU-seconds, peak memory in MB, and what it printed.

    The kernel counts the memory of the process that starts a program as that program's until it has
    more of its own, so this one stays small: nothing but the standard library is imported here.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        os.sync()  # what others wrote is not left for this one to wait for
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=folder)
        alarm = threading.Timer(TIME_LIMIT, process.kill)
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            raise
        finally:
            alarm.cancel()
        if process.returncode != 0:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "nothing on standard error")
            raise Failed(f"exit code {process.returncode}: {last.strip()}")
        output.seek(0)
        return {
            "seconds": seconds,
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": usage.ru_maxrss * 1024 / 1e6,
        }, output.read().decode()


def parquet_size(folder):
    """The MB of the parquet files below a directory, which has some."""
    files = glob(f"{folder}/**/*.parquet", recursive=True)
    if not files:
        raise Failed("it wrote nothing")
    return sum(map(os.path.getsize, files)) / 1e6
