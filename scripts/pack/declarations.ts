import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

/**
 * The types of the client, each file where it lies in this tree. Those of the contract are worked out here: they are made of its schemas by a library that whoever
 * installs the client does not have.
 */
export function declareClient(root: string, out: string) {
  const dist = join(root, 'dist');
  const entries = ['client/index.d.ts', 'grpc/index.d.ts'].map((name) => join(dist, name));
  const program = ts.createProgram([...entries, join(dist, 'contract/index.d.ts')], { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true });
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(out, 'dist', name)), { recursive: true });
    writeFileSync(join(out, 'dist', name), text);
  };
  const importsOf = (path: string) => ts.preProcessFile(ts.sys.readFile(path) ?? '').importedFiles.flatMap(({ fileName }) => (fileName.startsWith('.') ? [join(dirname(path), fileName.replace(/\.js$/, '.d.ts'))] : []));
  const ofContract = new Set<string>();
  const done = new Set<string>();
  const open = [...entries];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (done.has(path) || path.startsWith(join(dist, 'contract/'))) continue;
    done.add(path);
    open.push(...importsOf(path));
    const text = ts.sys.readFile(path) ?? '';
    for (const [, names = ''] of text.matchAll(/import (?:type )?\{([^}]*)\} from '[^']*contract\/index\.js'/g)) for (const name of names.split(',')) ofContract.add(name.trim());
    write(relative(dist, path), withoutMaps(text));
  }
  write('contract/index.d.ts', contractTypes(program, join(dist, 'contract/index.d.ts'), ofContract));
}

const withoutMaps = (text: string) => text.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n');

/** These types of the contract, written out. */
function contractTypes(program: ts.Program, path: string, names: ReadonlySet<string>): string {
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(path) as ts.SourceFile) as ts.Symbol;
  const { NoTruncation, InTypeAlias, MultilineObjectLiterals } = ts.TypeFormatFlags;
  const types = checker.getExportsOfModule(module).flatMap((exported) => {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const declaration = symbol.declarations?.find((each) => ts.isTypeAliasDeclaration(each) || ts.isInterfaceDeclaration(each));
    if (!declaration || !names.has(exported.name)) return [];
    if (ts.isInterfaceDeclaration(declaration)) return [declaration.getText().replace(/^(export )?(declare )?/, 'export ')];
    const text = checker.typeToString(checker.getDeclaredTypeOfSymbol(symbol), undefined, NoTruncation | InTypeAlias | MultilineObjectLiterals);
    return [`export type ${exported.name} = ${text.replaceAll(/ {2,}/g, ' ')};`];
  });
  return `${types.join('\n\n')}\n`;
}
