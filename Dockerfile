# The updater's image. `make image` prepares the files that this file copies, so the build runs nothing and downloads
# nothing. Any engine can build it, for any architecture, on any base with the Python version that the wheels were chosen
# for (image/build --python). If the image is for the building machine's architecture, image/build starts it once.
#
# The base is Debian 13 with Python 3.13, without a shell or a package manager. Dependabot updates the digest only in this
# line, because it does not read arguments. image/build --base replaces the base.
FROM gcr.io/distroless/python3-debian13:nonroot@sha256:0e52dfee02b1aba142e77b004f6ea11210b79456b51f10d70e9bd631cbc21d98

# amd64 or arm64, the name that the engine gives its target: wheels with compiled code differ. There is no default, because
# it would override the target of BuildKit.
ARG TARGETARCH
ARG VERSION=unknown
ARG REVISION=unknown

LABEL org.opencontainers.image.title="bottlerocket-ecs-updater" \
      org.opencontainers.image.description="Keeps the Bottlerocket container instances of an Amazon ECS cluster up to date." \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY build/image/${TARGETARCH}/app /opt/bottlerocket-ecs-updater
COPY build/image/${TARGETARCH}/licenses /usr/share/licenses/bottlerocket-ecs-updater
COPY build/image/${TARGETARCH}/sbom.cdx.json /usr/share/sbom/bottlerocket-ecs-updater.cdx.json

# The root file system may be read-only: bytecode is already compiled, and Python writes none.
ENV PYTHONPATH=/opt/bottlerocket-ecs-updater \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 65532:65532
ENTRYPOINT ["python3", "-P", "-m", "bottlerocket_ecs_updater"]
