"""`python -m bottlerocket_ecs_updater` is `bottlerocket-ecs-updater`."""

import sys

from bottlerocket_ecs_updater.cli import main

if __name__ == "__main__":
    sys.exit(main())
