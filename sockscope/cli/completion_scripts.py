"""The scripts by which bash, zsh and fish complete command lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """What may be given: one of these words, a file, or a command with its arguments."""

    words: tuple[str, ...] = ()
    files: bool = False
    command: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Option:
    """An option by all its names; ``value`` is None for those that take none."""

    names: tuple[str, ...]
    help: str
    value: Value | None


@dataclass(frozen=True)
class Words:
    """A command with its help, its options, and what else stands behind it."""

    help: str
    options: tuple[Option, ...]
    arguments: Value


_BASH = r"""
_sockscope() {
  local word= part=${COMP_WORDS[COMP_CWORD]} before= this all=() offered= kind= options= i IFS=$' \t\n'
  # readline takes = and : for ends of words; what belongs together is put together again
  for ((i = 1; i <= COMP_CWORD; i++)); do
    this=${COMP_WORDS[i]}
    if [[ ${#all[@]} -gt 0 && ($this == [=:]* || ${COMP_WORDS[i - 1]} == *[=:]) ]]; then all[-1]+=$this
    else all+=("$this"); fi
  done
  word=${all[-1]}
  [[ ${#all[@]} -gt 1 ]] && before=${all[-2]}
  [[ $part == [=:]* ]] && part=
  local gone=${word%"$part"}
  COMPREPLY=()
  if [[ ${#all[@]} -eq 1 ]]; then offered='@commands@ --help --version'
  else
    [[ $word == --*=* ]] && before=${word%%=*} word=${word#*=} gone=${gone#*=}
    case ${all[0]}:$before in
@values@
      *) case ${all[0]} in
@arguments@
      esac
      [[ $word == -* && " ${all[*]:0:${#all[@]}-1} " != *' -- '* ]] && kind= offered=$options ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$word"))
  # a file is called what anybody likes: its name is split at lines only, and no pattern
  local patterns=; IFS=$'\n'; [[ $- == *f* ]] || patterns=off; set -f
  [[ $kind == *command* ]] && COMPREPLY+=($(compgen -c -- "$word"))
  [[ $kind == *file* ]] && COMPREPLY+=($(compgen -f -- "$word"))
  [[ -z $patterns ]] || set +f
  COMPREPLY=("${COMPREPLY[@]#"$gone"}")
}
complete -o filenames -F _sockscope sockscope
""".strip()


def bash(commands: Mapping[str, Words]) -> str:
    values, arguments = [], []
    for name, command in commands.items():
        for option in command.options:
            if option.value and not option.value.optional:
                cases = "|".join(f"{name}:{word}" for word in option.names)
                values.append(f"      {cases}) {_bash_value(option.value)} ;;")
        options = " ".join(word for option in command.options for word in option.names)
        arguments.append(f"        {name}) options='{options}'; {_bash_value(command.arguments)} ;;")
    return _filled(_BASH, commands=[" ".join(commands)], values=values, arguments=arguments)


def _bash_value(value: Value) -> str:
    kinds = "file" * value.files + "command,file" * value.command
    return f"offered='{' '.join(value.words)}' kind={kinds}"


_ZSH = r"""
#compdef sockscope
_sockscope() {
  local curcontext=$curcontext state line ret=1
  typeset -A opt_args
  local -a subcommands=(
@commands@
  )
  _arguments -C '(- *)--help[show the help]' '(- *)--version[show the version]' \
    '1: :->command' '*:: :->rest' && return
  case $state in
    command) _describe command subcommands && ret=0 ;;
    rest) case $words[1] in
@cases@
      esac ;;
  esac
  return ret
}
_sockscope_started() {
  [[ $words[1] == -- ]] && { shift words; (( CURRENT-- )) }
  _normal
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
# as a file in $fpath it is called in order to complete, else it is read once
if [[ $funcstack[1] == _sockscope ]]; then _sockscope "$@"; else compdef _sockscope sockscope; fi
""".strip()


def zsh(commands: Mapping[str, Words]) -> str:
    names = [f"    {_quoted(name + ':' + command.help)}" for name, command in commands.items()]
    cases = []
    for name, command in commands.items():
        cases.append(f"      {name}) _arguments -s -S \\")
        cases += [
            f"        {_quoted(_zsh_option(word, option))} \\"
            for option in command.options
            for word in option.names
        ]
        cases.append(f"        {_quoted(_zsh_arguments(command.arguments))} && ret=0 ;;")
    return _filled(_ZSH, commands=names, cases=cases)


def _zsh_option(word: str, option: Option) -> str:
    text = _escaped(option.help, "\\[]")
    if option.value is None:
        return f"{word}[{text}]"
    # any option may come again: for some that is the way to say more than one thing
    follows = "=" if word.startswith("--") else "+"
    value = f"{':' if option.value.optional else ''}:{word.lstrip('-')}:{_zsh_action(option.value)}"
    return f"*{word}{follows}[{text}]{value}"


def _zsh_arguments(value: Value) -> str:
    return "*::command:_sockscope_started" if value.command else f"*:argument:{_zsh_action(value)}"


def _zsh_action(value: Value) -> str:
    if value.words and value.files:
        return f"_alternative 'words:word:({' '.join(value.words)})' 'files:file:_files'"
    if value.words:
        return f"({_escaped(' '.join(value.words), ':')})"
    return "_files" if value.files else " "


_FISH = r"""
# the word behind the program's name decides, whatever words follow
function __sockscope_command
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]
end
function __sockscope_first
    test (count (commandline -opc)) -eq 1
end
function __sockscope_started
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words); or return
    set -e words[1..$at]
    set -l rest (string escape -- $words) (commandline -ct)
    complete -C"$rest"
end
complete -c sockscope -e
complete -c sockscope -n __sockscope_first -f -l help -d 'show the help'
complete -c sockscope -n __sockscope_first -f -l version -d 'show the version'
@lines@
""".strip()


def fish(commands: Mapping[str, Words]) -> str:
    lines = []
    for name, command in commands.items():
        lines.append(
            f"complete -c sockscope -n __sockscope_first -f -a {name} -d {_quoted_for_fish(command.help)}"
        )
        here = f"complete -c sockscope -n '__sockscope_command {name}'"
        for option in command.options:
            names = " ".join(
                f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in option.names
            )
            lines.append(f"{here} {names}{_fish_value(option.value)} -d {_quoted_for_fish(option.help)}")
        rest = command.arguments
        if rest.command:
            lines.append(f"{here} -a '(__sockscope_started)'")
        lines.append(f"{here}{'' if rest.files or rest.command else ' -f'}{_fish_words(rest)}")
    return _filled(_FISH, lines=lines)


def _fish_value(value: Value | None) -> str:
    if value is None or (value.optional and not value.words):
        return ""
    return f" -r{' -F' if value.files else ' -f'}{_fish_words(value)}"


def _fish_words(value: Value) -> str:
    return f" -a {_quoted_for_fish(' '.join(value.words))}" if value.words else ""


def _filled(template: str, **lines: Iterable[str]) -> str:
    for name, put in lines.items():
        template = template.replace(f"@{name}@", "\n".join(put))
    return template


def _escaped(text: str, special: str) -> str:
    return "".join("\\" + sign if sign in special else sign for sign in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _quoted_for_fish(text: str) -> str:
    return "'" + _escaped(text, "\\'") + "'"
