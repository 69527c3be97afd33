import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

// `cargo xtask dev` serves the client by Vite beside the server, which answers everything that is no page.
const server = process.env['KEZ_DEV_SERVER'] ?? 'http://127.0.0.1:6969';

export default defineConfig({
  plugins: [svelte(), tailwindcss()],
  build: {
    outDir: 'dist/client',
    emptyOutDir: true,
    target: 'es2022',
    // Nothing inline: the server's policy takes scripts, fonts and images as files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: { proxy: { '/v1': server, '/openapi': server, '/.well-known': server } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
