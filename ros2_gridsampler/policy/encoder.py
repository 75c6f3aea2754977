# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Image -> feature map: a ViT with MAE's parameter names, on a convolutional stem or without."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from .policy_config import EncoderConfig


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of one picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, 'batch tokens width'], last: int | None = None
    ) -> Float[Tensor, 'batch looking width']:
        """Lets every token, or only the `last` ones, look at every token."""
        batch, count, width = tokens.shape
        if last is None:
            qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            asked = nn.functional.linear(tokens[:, -last:], weight[:width], bias[:width])
            shown = nn.functional.linear(tokens, weight[width:], bias[width:])
            query = asked.reshape(batch, last, self.heads, -1).transpose(1, 2)
            key, value = shown.reshape(batch, count, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        read = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.proj(read.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers on each token alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(
        self, tokens: Float[Tensor, 'batch tokens width']
    ) -> Float[Tensor, 'batch tokens width']:
        """Applies a linear map, GELU and a second linear map to each token."""
        return self.fc2(nn.functional.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(
        self, tokens: Float[Tensor, 'batch tokens width'], last: int | None = None
    ) -> Float[Tensor, 'batch looking width']:
        """Applies attention, then the MLP, and adds each to its input.

        Args:
            tokens: All of them are looked at.
            last: So many at the end are computed and returned; None for all.
        """
        read = self.attn(self.norm1(tokens), last)
        tokens = (tokens if last is None else tokens[:, -last:]) + read
        return tokens + self.mlp(self.norm2(tokens))


class PatchEmbedding(nn.Module):
    """Patches -> tokens, after the stem if there is one."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for index, wider in enumerate(config.stem):
            kernel, stride = (3, 2) if index else (7, 4)
            layers.append(
                nn.Conv2d(channels, wider, kernel, stride, padding=kernel // 2, bias=False)
            )
            layers.append(nn.BatchNorm2d(wider))
            layers.append(nn.ReLU())
            channels = wider
        # Channels last: twice as fast on a CPU.
        self.stem = nn.Sequential(*layers)
        self.stem.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        side = config.patch // config.stem_stride
        self.proj = nn.Conv2d(channels, config.width, side, stride=side)

    def forward(
        self, images: Float[Tensor, 'batch 3 height width']
    ) -> Float[Tensor, 'batch tokens width']:
        """Returns one token per patch, row by row."""
        return self.proj(self.stem(images)).flatten(2).transpose(1, 2)


def cut_patches(
    images: UInt8[Tensor, 'batch height width 3'], side: int
) -> UInt8[Tensor, 'batch patches side side 3']:
    """Returns the patches of pictures, row by row."""
    tiles = images.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
    return tiles.flatten(1, 2)


class Encoder(nn.Module):
    """A ViT whose parameter names are those of facebookresearch/mae.

    `early` and `late` cut it after any block, so that the rest may run on fewer tokens.
    """

    # Mean and deviation of ImageNet, as in MAE's recipe.
    _mean: Tensor
    _deviation: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns = config.grid
        self.patch_embed = PatchEmbedding(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(
            sine_positions(rows, columns, config.width)[None], requires_grad=False
        )
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer('_mean', mean.view(3, 1, 1), persistent=False)
        self.register_buffer('_deviation', deviation.view(3, 1, 1), persistent=False)
        nn.init.normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.data.flatten(1))

    def patches(
        self, images: UInt8[Tensor, 'batch height width 3']
    ) -> Float[Tensor, 'batch tokens width']:
        """Returns the patch tokens of pictures with their positions, without the class token."""
        expected = (self.config.image_height, self.config.image_width, 3)
        if images.shape[1:] != expected:
            raise ValueError(
                f'The encoder reads pictures of shape {expected}, got {tuple(images.shape[1:])}.'
            )
        if self.config.stem_within_patches:
            embedded = self._embed_tiles(cut_patches(images, self.config.patch))
        else:
            embedded = self.patch_embed(self._normalised(images))
        return embedded + self.pos_embed[:, 1:]

    def _embed_tiles(
        self, tiles: UInt8[Tensor, 'batch patches side side 3']
    ) -> Float[Tensor, 'batch patches width']:
        """Returns the token of each patch, which the stem sees alone; without its position."""
        embedded = self.patch_embed(self._normalised(tiles.flatten(0, 1)))
        return embedded.view(*tiles.shape[:2], self.config.width)

    def _normalised(
        self, images: UInt8[Tensor, 'batch height width 3']
    ) -> Float[Tensor, 'batch 3 height width']:
        return (images.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._deviation

    def sparse(
        self,
        images: UInt8[Tensor, 'batch height width 3'],
        places: Int[Tensor, 'batch visible'],
    ) -> Float[Tensor, 'batch visible_and_first width']:
        """Class token and some patches through the whole tower, the other patches unseen (MAE).

        A stem sees each patch alone, whose padding then stands for all its neighbours at their
        mean; else it would carry pixels of one patch into the next.

        Args:
            images: RGB.
            places: Numbers of the patches to look at, row by row.
        """
        rows = torch.arange(len(images), device=places.device)[:, None]
        tiles = cut_patches(images, self.config.patch)[rows, places]
        patches = self._embed_tiles(tiles) + self.pos_embed[0, 1:][places]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        return self.late(torch.cat([first, patches], 1), 0)

    def early(
        self, images: UInt8[Tensor, 'batch height width 3'], blocks: int
    ) -> Float[Tensor, 'batch rows columns width']:
        """Returns the feature map after the first `blocks` blocks; normalised if those are all."""
        patches = self.patches(images)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        tokens = torch.cat([first, patches], 1)
        for block in self.blocks[:blocks]:
            tokens = block(tokens)
        if blocks == self.config.depth:
            tokens = self.norm(tokens)
        return tokens[:, 1:].unflatten(1, self.config.grid)

    def late(
        self, tokens: Float[Tensor, 'batch tokens width'], blocks: int
    ) -> Float[Tensor, 'batch tokens width']:
        """Applies the blocks after the first `blocks` to whichever tokens were kept."""
        if blocks == self.config.depth:
            return tokens
        for block in self.blocks[blocks:]:
            tokens = block(tokens)
        return self.norm(tokens)

    def forward(
        self, images: UInt8[Tensor, 'batch height width 3']
    ) -> Float[Tensor, 'batch rows columns width']:
        """Applies the whole tower to all tokens."""
        return self.early(images, self.config.depth)


def sine_positions(rows: int, columns: int, width: int) -> Float[Tensor, 'tokens width']:
    """MAE's fixed two-dimensional sine-cosine positions, a zero row for the class token first."""
    frequencies = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))

    def encode(places: Tensor) -> Tensor:
        angles = places.double().flatten()[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], 1)

    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    positions = torch.cat([encode(x), encode(y)], 1)
    return torch.cat([torch.zeros(1, width), positions.float()])
