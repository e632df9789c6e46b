"""``python -m robustbench_msda``: the command, in the form that torchrun starts."""

from robustbench_msda.cli import main

if __name__ == "__main__":
    main()
