import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh'] as const;
export type Shell = (typeof SHELLS)[number];

/** What the shell completes: commands, and the options of each. */
export function completion(program: Command, shell: Shell): string {
  const optionsOf = (command: Command) => command.options.flatMap(({ long }) => long ?? []).join(' ');
  const cases = program.commands.map((command) => `    ${command.name()}) words='${optionsOf(command)} --help' ;;`).join('\n');
  const names = program.commands.map((command) => command.name()).join(' ');
  const lines = [
    '_rollcall() {',
    '  local words',
    '  case "${COMP_WORDS[1]}" in',
    cases,
    `    *) words='${names} ${optionsOf(program)} --help' ;;`,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    'complete -o default -F _rollcall rollcall',
  ].join('\n');
  return shell === 'bash' ? `${lines}\n` : `autoload -U +X bashcompinit && bashcompinit\n${lines}\n`;
}
