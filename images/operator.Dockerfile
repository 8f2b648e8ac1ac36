# The operator: one program, run by nobody in particular. The context is a folder with the built program.
# `make images` builds it with any engine.
FROM docker.io/library/debian:12-slim
COPY lunette-operator /usr/local/bin/lunette-operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/lunette-operator"]
