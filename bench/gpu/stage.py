"""What the stages of the check share: a log, commands, how a stage ends. Standard library only."""

import subprocess
import sys
import time


class Skip(Exception):
    """A stage that cannot run here, and why."""


class Log:
    """Prints, and keeps what is printed; what programs print is kept alone."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w")

    def say(self, text=""):
        print(text, flush=True)
        self.keep(text)

    def keep(self, text):
        self.file.write(text + "\n")
        self.file.flush()

    def run(self, command, seconds, env=None):
        """(exit code, output) of a command; the code is None where it took longer than that."""
        words = [str(word) for word in command]
        self.keep("$ " + " ".join(words))
        try:
            done = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", timeout=seconds, env=env,
            )  # fmt: skip
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as expired:
            code, output = None, expired.stdout or ""
            if isinstance(output, bytes):
                output = output.decode(errors="replace")
        self.keep(output + f"[exit code {code}]")
        return code, output


def run_stage(name, function, log):
    """{"status", "reason", "seconds", ...what the function returned}.

    The function returns a dictionary with "failures": texts, empty where all passed.
    """
    log.say(f"\n==> {name}")
    begin = time.monotonic()
    try:
        result = function()
        failures = result["failures"]
        status, reason = ("failed", "; ".join(failures[:5])) if failures else ("passed", None)
    except Skip as skip:
        result, status, reason = {}, "skipped", str(skip)
    except Exception as error:  # the other stages go on
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        result, status, reason = {}, "failed", f"{type(error).__name__}: {error}"
    seconds = round(time.monotonic() - begin, 1)
    log.say(f"    {name}: {status}, {seconds} s" + (f": {reason}" if reason else ""))
    return {"status": status, "reason": reason, "seconds": seconds} | result
