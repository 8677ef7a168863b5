"""Runs a group (order G of src/warm/protocol.h) in an interpreter that is alone, and reads its stream."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stand_in import PAYLOAD


class Told:
    """What became of a unit."""

    def __init__(self):
        self.begun, self.over, self.bytes = False, None, ""

    @property
    def lines(self):
        return [json.loads(line) for line in self.bytes.splitlines()]

    @property
    def outcomes(self):
        return [line["report"]["outcome"] for line in self.lines if "report" in line]

    @property
    def ended_well(self):
        return self.over.get("status") == 0 and self.lines[-1] == {"done": True}

    def text(self):
        return "".join(line["report"].get("text", "") for line in self.lines if "report" in line)


class Group:
    """A finished one."""

    def __init__(self, directory, files, *arguments, python=sys.executable, user=None, prefix=(), **order):
        """`files`: [(file or None, [ids of a unit, ...], {of the part})]."""
        self.units = {}
        number, parts = 0, []
        for file, units, *more in files:
            part = {"file": file, "units": [], **(more[0] if more else {})}
            for unit in units:
                words = unit if isinstance(unit, dict) else {"ids": unit}
                ids = words["ids"] if isinstance(words["ids"], list) else [words["ids"]]
                part["units"].append({"file": file or ids[0].split("::")[0], **words, "n": number, "ids": ids})
                self.units[number] = Told()
                number += 1
            parts.append(part)
        with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
            os.chmod(scratch, 0o755)
            place, said = Path(scratch, "pytest.py"), Path(scratch, "group.json")
            text = (PAYLOAD / "warm.py").read_text()
            assert '"/.casemate-pytest"' in text and '"/.casemate-group"' in text
            place.write_text(text.replace("/.casemate-pytest", str(place)).replace("/.casemate-group", str(said)))
            said.write_text(json.dumps(dict({"files": parts, "places": [str(directory)]}, **order)))
            boot = f"with open({str(place)!r},'rb') as s:s=s.read()\nexec(compile(s,'<casemate>','exec'),{{'__name__':'casemate'}})"
            reader, writer = os.pipe()
            env = {"PATH": os.environ["PATH"], "CASEMATE_ALONE": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}
            command = [*prefix, python, "-c", "import os\n" + boot, "G", "-p", "no:cacheprovider", *arguments]

            def prepare():
                os.dup2(writer, 3)
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)

            self.process = subprocess.Popen(
                command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(3,) if writer == 3 else (), close_fds=False,
                stdin=subprocess.DEVNULL, preexec_fn=prepare,
            )  # fmt: skip
            os.close(writer)
            with open(reader) as stream:
                self.text = stream.read()
            self.out, self.err = self.process.communicate()
        self.lines = [json.loads(line) for line in self.text.splitlines()]
        for line in self.lines:
            if "unit" in line:
                assert not self.units[line["unit"]].begun
                self.units[line["unit"]].begun = True
            elif "of" in line:
                assert self.units[line["of"]].over is None
                self.units[line["of"]].bytes += line["bytes"]
            elif "over" in line:
                assert self.units[line["over"]].over is None, "told twice"
                self.units[line["over"]].over = line
        self.done = bool(self.lines) and self.lines[-1] == {"done": True}
        self.apart = next((line for line in self.lines if "apart" in line), {})
