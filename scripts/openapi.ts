// `npm run openapi`: writes openapi.yaml from the routes. Needs no Redis; a test fails when the file is out of date.
import { writeFileSync } from 'node:fs';
import { renderOpenapi } from '../test/helpers/openapi.js';

writeFileSync(new URL('../openapi.yaml', import.meta.url), await renderOpenapi());
