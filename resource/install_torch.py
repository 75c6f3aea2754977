# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Install PyTorch's CPU build: from its own index if that can be reached, else as pip finds it."""

import subprocess
import sys
import urllib.error
import urllib.request

requirement, index = sys.argv[1:]
command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
command.append(requirement)
try:
    urllib.request.urlopen(f'{index}/torch/', timeout=5).close()  # noqa: S310
    command += ['--extra-index-url', index]
except (urllib.error.URLError, TimeoutError, OSError) as error:
    print(f'{index} cannot be reached ({error}); taking {requirement} from the default index.')
sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603
