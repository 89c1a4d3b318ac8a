"""What was seen, line by line, compared with what was seen before."""

import difflib
from pathlib import Path

PATH = Path(__file__).with_name("transcript.txt")


class Transcript:
    """Lines; numbers that another machine may have otherwise stand apart from them and are not compared."""

    def __init__(self):
        self.lines = []

    def title(self, text):
        self.say("")
        self.say(text)

    def say(self, line, numbers=""):
        self.lines.append(line)
        print(f"{line}    [{numbers}]" if numbers else line, flush=True)

    def text(self):
        return "\n".join(self.lines).strip() + "\n"

    def write(self):
        PATH.write_text(self.text())

    def differences(self):
        """Lines of a diff; none where all is as before."""
        before = PATH.read_text().splitlines()
        return list(difflib.unified_diff(before, self.text().splitlines(), PATH.name, "now", lineterm="", n=1))
