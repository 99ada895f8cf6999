#!/bin/sh
# Runs as root in the last stage of both images: the user they run as, and away with what installs packages.
set -eu

groupadd --gid 10001 beta9
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin beta9

# Where the official Python images and Debian's packages have pip, setuptools, and the wheels they come from.
rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/site-packages/setuptools* \
    /usr/local/lib/python3*/site-packages/wheel* /usr/local/lib/python3*/ensurepip \
    /usr/lib/python3*/ensurepip /usr/share/python-wheels /usr/local/bin/pip*
