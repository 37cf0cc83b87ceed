# The updater's image. `make image` assembles what is copied here, so that nothing is run and nothing is downloaded
# while the image is built: any engine builds it, for any architecture, on any base that has the Python that its wheels
# were chosen for (image/build --python). image/build starts it once, where it is for the machine that builds it.
#
# The base is Debian 13 with Python 3.13, without a shell and a package manager. It is named by its digest. Dependabot raises
# that here, and only here: it does not read arguments. image/build --base puts another base in its place.
FROM gcr.io/distroless/python3-debian13:nonroot@sha256:0e52dfee02b1aba142e77b004f6ea11210b79456b51f10d70e9bd631cbc21d98

# amd64 or arm64, as the engine calls what it builds for; wheels with compiled code differ. No default: it would count more
# than what BuildKit builds for.
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

# The root file system may be read-only: bytecode is compiled already, and no file is ever written.
ENV PYTHONPATH=/opt/bottlerocket-ecs-updater \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 65532:65532
ENTRYPOINT ["python3", "-P", "-m", "bottlerocket_ecs_updater"]
