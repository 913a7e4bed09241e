"""Puts the library, the models and their licences into the package where this folder lies in the archive of a release, so that what pip installs
works wherever the archive goes. Without them the package is pure Python and finds the library through HISTOLOOM_LIBRARY."""
import shutil
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70.1
    from wheel.bdist_wheel import bdist_wheel

HERE = Path(__file__).resolve().parent
LIBRARIES = [p for n in ("libhistoloom.so", "libhistoloom.dylib", "histoloom.dll") if (p := HERE / "../../../lib" / n).is_file()]
MODELS = HERE / "../models"
LICENCES = [p for n in ("LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt") if (p := HERE / "../../doc/histoloom" / n).is_file()]


class Build(build_py):
    def run(self):
        super().run()
        package = Path(self.build_lib, "histoloom")
        for file in LIBRARIES:
            shutil.copy2(file, package)
        if LIBRARIES and (MODELS / "manifest.json").is_file():
            shutil.copytree(MODELS, package / "models", dirs_exist_ok=True)
            (package / "licences").mkdir(exist_ok=True)
            for file in LICENCES:
                shutil.copy2(file, package / "licences")


class Wheel(bdist_wheel):
    """For one platform and any Python 3: the library is called through ctypes."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = not LIBRARIES

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


# elsewhere: the archive may lie where nobody may write, and an old build must not get into a new one
with tempfile.TemporaryDirectory() as place:
    setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel}, options={"egg_info": {"egg_base": place}, "build": {"build_base": place}})
