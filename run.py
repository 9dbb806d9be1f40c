"""`python run.py COMMAND`: hands over to `cli/`; `python run.py --help` lists the commands."""

from cli.app import app

if __name__ == "__main__":
    app()
