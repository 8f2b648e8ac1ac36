# The agent, with the programs that it runs on a node: kmod loads kernel modules, the others make, check, grow and
# mount file systems. No iscsid: the node's own serves, if there is one. The context is a folder with the built program.
# It runs as root: it writes configfs and opens devices. `make images` builds it with any engine.
FROM docker.io/library/debian:12-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends btrfs-progs e2fsprogs kmod mount util-linux xfsprogs \
 # What differs from build to build and nobody reads.
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/*
COPY lunette-node /usr/local/bin/lunette-node
ENTRYPOINT ["/usr/local/bin/lunette-node"]
