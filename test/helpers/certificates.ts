import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** Paths of PEM files. */
  ca: string;
  cert: string;
  key: string;
  /** Options of a redis-server that speaks TLS with them on this port. */
  redisArgs: (tlsPort: number) => string[];
  remove: () => void;
}

/** An authority of the test's own and a server certificate that it signed for this machine's loopback names, in a folder of their own. */
export function makeCertificates(names = 'DNS:localhost,IP:127.0.0.1'): Certificates {
  const dir = mkdtempSync(join(tmpdir(), 'rollcall-test-tls-'));
  const at = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];
  openssl('req', '-x509', ...newKey, '-days', '1', '-subj', '/CN=Rollcall test authority', '-keyout', at('ca.key'), '-out', at('ca.crt'));
  openssl('req', ...newKey, '-subj', '/CN=redis', '-addext', `subjectAltName=${names}`, '-keyout', at('server.key'), '-out', at('server.csr'));
  openssl('x509', '-req', '-in', at('server.csr'), '-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '1', '-copy_extensions', 'copy', '-out', at('server.crt'));
  const [ca, cert, key] = [at('ca.crt'), at('server.crt'), at('server.key')];
  return {
    ca, cert, key,
    redisArgs: (tlsPort) => [
      '--tls-port', String(tlsPort), '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca, '--tls-auth-clients', 'no',
    ],
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
