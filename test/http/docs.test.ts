import request from 'supertest';
import { describe, expect, test } from 'vitest';
import { sharedGateway } from '../helpers/shared-gateway.js';

const gateway = sharedGateway();
const page = (path: string) => request(gateway().app.server).get(path);

describe('the OpenAPI document', () => {
  test('is served without a token and names every route behind one', async () => {
    const { body, headers } = await page('/openapi.json').expect(200);
    expect(headers['content-type']).toMatch(/^application\/json/);
    expect(body.openapi).toMatch(/^3\.1\./);
    const operations = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`));
    expect(operations.sort()).toEqual([
      'delete /sd/v1/instances/{id}',
      'delete /sd/v1/locks/{name}',
      'get /livez',
      'get /metrics',
      'get /readyz',
      'get /sd/v1/events',
      'get /sd/v1/groups',
      'get /sd/v1/instances',
      'get /sd/v1/instances/{id}',
      'get /sd/v1/locks/{name}',
      'get /sd/v1/watch',
      'patch /sd/v1/instances/{id}',
      'post /sd/v1/groups/{type}/{group}/evict',
      'post /sd/v1/heartbeats',
      'post /sd/v1/instances',
      'post /sd/v1/instances/{id}/heartbeat',
      'post /sd/v1/locks/{name}',
      'post /sd/v1/locks/{name}/renew',
      'post /sd/v1/session',
    ]);
  });
});

describe('Swagger UI', () => {
  test('asks for a token in one box, called as the header is; the document that others get names all ways', async () => {
    const { body: shown } = await page('/docs/json').expect(200);
    expect(shown.components.securitySchemes).toMatchObject({ 'X-API-Token': { type: 'apiKey', in: 'header', name: 'X-API-Token' } });
    expect(Object.keys(shown.components.securitySchemes as object)).toHaveLength(1);
    expect(shown.paths['/sd/v1/instances'].get.security).toEqual([{ 'X-API-Token': [] }]);
    expect(shown.paths['/livez'].get.security).toEqual([]);
    const { body: whole } = await page('/openapi.json').expect(200);
    expect(Object.keys(whole.components.securitySchemes as object)).toEqual(['apiToken', 'bearer', 'session']);
    expect(whole.paths['/sd/v1/instances'].get.security).toEqual([{ apiToken: [] }, { bearer: [] }, { session: [] }]);
  });

  test('is a page at /docs whose scripts and styles all come from here', async () => {
    const { text, headers } = await page('/docs').redirects(2).expect(200);
    expect(headers['content-type']).toMatch(/^text\/html/);
    expect(text).toContain('swagger-ui');
    expect(text).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
    const assets = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => new URL(path ?? '', 'http://x/docs').pathname);
    expect(assets.length).toBeGreaterThan(3);
    for (const asset of assets) await page(asset).expect(200);
  });

  test('has a policy that runs no inline script and loads nothing from elsewhere', async () => {
    const { headers } = await page('/docs').redirects(2).expect(200);
    const policy = Object.fromEntries((headers['content-security-policy'] ?? '').split(';').map((part) => [part.trim().split(' ', 1)[0], part.trim()]));
    expect(policy['default-src']).toBe("default-src 'self'");
    expect(policy['script-src']).toBeDefined();
    expect(policy['script-src']).not.toContain('unsafe');
    expect(headers['content-security-policy']).not.toMatch(/https?:|\.\w+\/?(?:;| |$)|upgrade-insecure-requests/);
  });

  test('has the headers of a page that others may neither frame nor sniff', async () => {
    const { headers } = await page('/docs').redirects(2).expect(200);
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN', 'referrer-policy': 'no-referrer' });
    expect(headers).not.toHaveProperty('strict-transport-security');
    expect(headers).not.toHaveProperty('x-powered-by');
  });

  test('shows no file from outside its folder', async () => {
    for (const path of ['/docs/static/../../package.json', '/docs/static/%2e%2e/%2e%2e/package.json', '/docs/static/..%2fpackage.json', '/docs/static/nothing.js']) {
      const { status, text } = await page(path);
      expect([400, 403, 404]).toContain(status);
      expect(text).not.toContain('"dependencies"');
    }
  });
});

describe('the root', () => {
  test('leads a browser to the page, and tells everybody else where things are', async () => {
    const { app } = gateway();
    const browser = await request(app.server).get('/').set('Accept', 'text/html,application/xhtml+xml').expect(302);
    expect(browser.headers.location).toBe('/docs');
    const { body } = await request(app.server).get('/').expect(200);
    expect(body).toEqual({ name: 'rollcall', version: expect.stringMatching(/^\d+\.\d+/) as string, docs: '/docs', openapi: '/openapi.json', api: '/sd/v1' });
  });
});
