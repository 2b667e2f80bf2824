"""`completion`: shell completion, printed for the shell to read."""

import click

_WHERE = {
    "bash": '# Put into ~/.bashrc:  eval "$(skyops completion bash)"',
    "zsh": '# Put into ~/.zshrc:  eval "$(skyops completion zsh)"',
    "fish": "# Write to ~/.config/fish/completions/skyops.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(sorted(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # the three shells are click's own
    script = kind(ctx.find_root().command, {}, "skyops", "_SKYOPS_COMPLETE")
    click.echo(_WHERE[shell])
    # bash: `source()` would run bash to learn its version; the template alone needs no shell.
    click.echo(script.source_template % script.source_vars())
